//! A named network namespace: made, entered, removed with all that runs in it.
//!
//! Its name tells the process that made it, so that what a killed test left can be told from what a running one
//! needs.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::Once;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::ip;

/// What all names begin with; the process id follows.
const PREFIX: &str = "okcm-";

/// Where `ip` keeps named namespaces.
const SHELF: &str = "/var/run/netns";

/// The name of a namespace; removing it is up to the network that it belongs to.
#[derive(Clone)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one for a host of this process's network of this number.
    pub(super) fn add(network: u32, host: &str) -> Result<Self, String> {
        let name = format!("{PREFIX}{}-{network}-{host}", std::process::id());
        ip::run(&["netns", "add", &name], &[])?;
        Ok(Self { name })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Runs lines of the `ip` program in it, until one fails.
    pub(super) fn ip(&self, lines: &[&str]) -> Result<(), String> {
        ip::run(&["-netns", &self.name, "-batch", "-"], lines).map(drop)
    }

    /// A command that runs a program in it. `ip` becomes that program: they are one process.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = ip::command();
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Does something in it, on a thread of its own.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                self.enter_for_good();
                work()
            });
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread into it until the guard is dropped.
    pub(super) fn enter(&self) -> Inside {
        let outside = File::open("/proc/thread-self/ns/net").expect("a thread has a network namespace");
        self.enter_for_good();
        Inside { outside, thread: PhantomData }
    }

    /// Moves the calling thread into it.
    pub(crate) fn enter_for_good(&self) {
        let namespace = File::open(Path::new(SHELF).join(&self.name)).expect("the namespace is there");
        move_to(&namespace);
    }

    /// Kills what runs in it, and removes it. Nothing happens when it is gone.
    pub(super) fn remove(&self) {
        for pid in self.pids() {
            // It may have ended since it was listed.
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = ip::run(&["netns", "delete", &self.name], &[]);
    }

    /// Removes what processes left that are gone; at the first time also what one did that had this one's id.
    pub(super) fn remove_leftovers() {
        static FIRST: Once = Once::new();
        FIRST.call_once(|| Self::remove_those_of(|maker| maker == std::process::id()));
        Self::remove_those_of(|maker| !Path::new(&format!("/proc/{maker}")).exists());
    }

    fn remove_those_of(is_gone: impl Fn(u32) -> bool) {
        let Ok(listed) = fs::read_dir(SHELF) else { return };
        for name in listed.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
            let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse().ok());
            if maker.is_some_and(&is_gone) {
                Self { name }.remove();
            }
        }
    }

    /// The processes in it but this one, whose threads leave it by themselves.
    fn pids(&self) -> Vec<Pid> {
        let listed = ip::run(&["netns", "pids", &self.name], &[]).unwrap_or_default();
        let own = Some(rustix::process::getpid());
        let pids = listed.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
        pids.filter(|pid| Some(*pid) != own).collect()
    }
}

/// The calling thread is in a namespace while this lives. It belongs to that thread.
pub struct Inside {
    outside: File,
    thread: PhantomData<*const ()>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        move_to(&self.outside);
    }
}

fn move_to(namespace: &File) {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("whoever may make a namespace may enter it");
}
