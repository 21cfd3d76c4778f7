//! A large file through the CLI, with a real OpenBao as L1: encrypted, decrypted, compared; then the
//! tenant is unlinked, refused, and linked again. The CLI's resident memory is read from the kernel.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use openkcm_client::KeySpec;
use openkcm_contracts::{KeyPath, RootRef, ServicePath};
use openkcm_harness::{Landscape, OpenBao};
use openkcm_host::{Entropy as _, OsEntropy};

use crate::landscape;

/// What the CLI may hold in memory, in KiB.
const RESIDENT_LIMIT_KIB: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The file's size in MiB
    #[arg(long, default_value_t = 1024)]
    mib: usize,
}

pub(crate) async fn run(program: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let bao = OpenBao::start().await;
    bao.mount("transit", "transit").await;
    bao.create_key("transit", "acme").await;
    let directory = tempfile::tempdir()?;
    let home = directory.path().join("landscape");
    std::fs::create_dir_all(&home)?;
    std::fs::write(home.join("bao-token"), bao.root_token())?;
    let config = format!("[roots.openbao]\naddress = \"{}\"\ntoken_file = \"bao-token\"\n", bao.address());
    std::fs::write(home.join("dev.toml"), config)?;
    let running = Landscape::start(program, &home, &[]).await;
    let client = landscape::client(&running.file())?;
    let path: ServicePath = "acme/hr/payroll".parse()?;
    let root =
        RootRef { provider: "openbao".into(), key: "transit/acme".into(), options: Default::default() };
    landscape::tenant(&client, &path.system_path(), root).await?;
    client.registry().put_key(&KeyPath::Service(path), &KeySpec::default()).await?;

    let cli = Cli { program, landscape: running.file(), directory: directory.path() };
    write_random(&directory.path().join("plain"), arguments.mib)?;
    println!("L1 is OpenBao's transit/acme; a file of {} MiB of random bytes", arguments.mib);
    cli.pipe("encrypt", "plain", "sealed", None)?;
    cli.pipe("decrypt", "sealed", "opened", None)?;
    ensure!(
        same(&directory.path().join("plain"), &directory.path().join("opened"))?,
        "the file came back changed"
    );
    println!("the file came back identical");
    cli.run(&["l1", "unlink", "acme"])?;
    cli.pipe("decrypt", "sealed", "refused", Some("tenant_unlinked"))?;
    ensure!(
        std::fs::metadata(directory.path().join("refused"))?.len() == 0,
        "bytes were written in spite of the refusal"
    );
    println!("unlinked: decrypt is refused with tenant_unlinked, and writes nothing");
    cli.run(&["l1", "link", "acme", "--provider", "openbao", "--key", "transit/acme"])?;
    cli.pipe("decrypt", "sealed", "opened-again", None)?;
    ensure!(
        same(&directory.path().join("plain"), &directory.path().join("opened-again"))?,
        "the file came back changed"
    );
    println!("linked again: it decrypts, and is identical");
    Ok(())
}

struct Cli<'a> {
    program: &'a Path,
    landscape: std::path::PathBuf,
    directory: &'a Path,
}

impl Cli<'_> {
    fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let status =
            Command::new(self.program).arg("--landscape").arg(&self.landscape).args(arguments).status()?;
        ensure!(status.success(), "openkcm {} failed", arguments.join(" "));
        Ok(())
    }

    /// Pipes a file through `openkcm VERB`, watches its memory, and tells how it went.
    fn pipe(&self, verb: &str, from: &str, to: &str, refusal: Option<&str>) -> anyhow::Result<()> {
        let begun = landscape::elapsed();
        let mut child = Command::new(self.program)
            .arg("--landscape")
            .arg(&self.landscape)
            .args([verb, "acme/hr/payroll"])
            .stdin(File::open(self.directory.join(from))?)
            .stdout(File::create(self.directory.join(to))?)
            .stderr(Stdio::piped())
            .spawn()?;
        let mut peak = 0;
        let status = loop {
            peak = peak.max(peak_resident_kib(child.id()));
            match child.try_wait()? {
                Some(status) => break status,
                None => std::thread::sleep(std::time::Duration::from_millis(10)),
            }
        };
        let mut complaint = String::new();
        child.stderr.take().context("a pipe")?.read_to_string(&mut complaint)?;
        let seconds = (landscape::elapsed() - begun).as_secs_f64();
        ensure!(peak < RESIDENT_LIMIT_KIB, "openkcm {verb} held {peak} KiB");
        if let Some(refusal) = refusal {
            ensure!(
                !status.success() && complaint.contains(refusal),
                "openkcm {verb} was not refused so: {complaint}"
            );
            return Ok(());
        }
        ensure!(status.success(), "openkcm {verb} failed: {complaint}");
        println!("openkcm {verb}: {seconds:.2} s, at most {:.1} MiB resident", peak as f64 / 1024.0);
        Ok(())
    }
}

/// The kernel's high-water mark of a process's resident memory; 0 when it has ended.
fn peak_resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn write_random(path: &Path, mib: usize) -> anyhow::Result<()> {
    let (mut file, entropy) = (BufWriter::new(File::create(path)?), OsEntropy::new());
    let mut block = vec![0; 1024 * 1024];
    for _ in 0..mib {
        entropy.fill(&mut block);
        file.write_all(&block)?;
    }
    Ok(file.flush()?)
}

fn same(one: &Path, other: &Path) -> anyhow::Result<bool> {
    if std::fs::metadata(one)?.len() != std::fs::metadata(other)?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::new(File::open(one)?), BufReader::new(File::open(other)?));
    let (mut a, mut b) = (vec![0; 1024 * 1024], vec![0; 1024 * 1024]);
    loop {
        let count = one.read(&mut a)?;
        if count == 0 {
            return Ok(true);
        }
        other.read_exact(&mut b[..count])?;
        if a[..count] != b[..count] {
            return Ok(false);
        }
    }
}
