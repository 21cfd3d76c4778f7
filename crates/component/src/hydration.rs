//! Waiting for what the mesh has to tell, and for how long when it is out of reach.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use openkcm_orbital::{Connection, Stream};
use tokio::sync::watch;

/// Waits until every one of these streams was read to its end. Gives up when those that were not are out of
/// reach without a pause for `patience`, and after `limit` in any case. Says whether all were read.
///
/// That another lane is out of reach does not end the wait for one that is being read.
pub(crate) async fn read_or_away(
    connection: &watch::Receiver<Connection>,
    hydrated: &watch::Receiver<BTreeSet<Stream>>,
    streams: &[Stream],
    (patience, limit): (Duration, Duration),
) -> bool {
    let waited = async {
        tokio::select! {
            () = all_read(hydrated.clone(), streams) => true,
            () = out_of_reach(connection.clone(), hydrated.clone(), streams, patience) => false,
        }
    };
    tokio::time::timeout(limit, waited).await.unwrap_or(false)
}

/// Waits until every one of these streams was read to its end. Never returns when nobody reads any more.
pub(crate) async fn all_read(mut hydrated: watch::Receiver<BTreeSet<Stream>>, streams: &[Stream]) {
    if hydrated.wait_for(|read| streams.iter().all(|stream| read.contains(stream))).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn out_of_reach(
    mut connection: watch::Receiver<Connection>,
    mut hydrated: watch::Receiver<BTreeSet<Stream>>,
    streams: &[Stream],
    patience: Duration,
) {
    let mut given_up = pin!(None);
    loop {
        let away = {
            let (connection, read) = (connection.borrow_and_update(), hydrated.borrow_and_update());
            let mut missing = streams.iter().filter(|stream| !read.contains(stream));
            missing.all(|stream| connection.unread.contains(&stream.lane))
        };
        match (away, given_up.is_some()) {
            (true, false) => given_up.set(Some(tokio::time::sleep(patience))),
            (false, true) => given_up.set(None),
            _ => {}
        }
        tokio::select! {
            changed = connection.changed() => if changed.is_err() { return },
            changed = hydrated.changed() => if changed.is_err() { return },
            () = async { given_up.as_mut().as_pin_mut().expect("it was set").await }, if away => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use openkcm_contracts::{Audience, Lane, Timestamp};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);
    const LIMIT: Duration = Duration::from_secs(3600);

    fn stream(lane: Lane) -> Stream {
        Stream { lane, audience: Audience::Cores }
    }

    fn unread(lanes: &[Lane]) -> Connection {
        Connection {
            connected: lanes.is_empty(),
            unread: lanes.iter().copied().collect(),
            since: Timestamp::from_millis(0),
            error: None,
        }
    }

    struct Rig {
        connection: watch::Sender<Connection>,
        hydrated: watch::Sender<BTreeSet<Stream>>,
    }

    impl Rig {
        fn new(lanes: &[Lane]) -> Self {
            Self { connection: watch::Sender::new(unread(lanes)), hydrated: watch::Sender::new([].into()) }
        }

        async fn wait(&self, most: Duration) -> Option<bool> {
            let (connection, hydrated) = (self.connection.subscribe(), self.hydrated.subscribe());
            let streams = [stream(Lane::Urgent), stream(Lane::Sealed)];
            let waited = read_or_away(&connection, &hydrated, &streams, (PATIENCE, LIMIT));
            tokio::time::timeout(most, waited).await.ok()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mesh_that_is_away_is_not_waited_for_and_one_that_answers_is() {
        let rig = Rig::new(&[Lane::Urgent, Lane::Sealed]);
        assert_eq!(rig.wait(PATIENCE * 2).await, Some(false));
        rig.connection.send_replace(unread(&[]));
        assert_eq!(rig.wait(LIMIT - PATIENCE).await, None, "it answers, and has not told all");
        assert_eq!(rig.wait(LIMIT * 2).await, Some(false), "not for ever");
        rig.hydrated.send_replace([stream(Lane::Urgent), stream(Lane::Sealed)].into());
        assert_eq!(rig.wait(PATIENCE).await, Some(true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_is_read_is_waited_for_while_another_is_out_of_reach() {
        let rig = Rig::new(&[Lane::Urgent]);
        assert_eq!(rig.wait(LIMIT - PATIENCE).await, None, "sealed copies still come");
        let then = async {
            tokio::time::sleep(PATIENCE * 3).await;
            rig.hydrated.send_replace([stream(Lane::Sealed)].into());
        };
        let (waited, ()) = tokio::join!(rig.wait(PATIENCE * 5), then);
        assert_eq!(waited, Some(false), "the rest is out of reach");
    }

    #[tokio::test(start_paused = true)]
    async fn an_interruption_is_no_absence() {
        let rig = Rig::new(&[]);
        let flaps = async {
            for _ in 0..100 {
                rig.connection.send_replace(unread(&[Lane::Urgent, Lane::Sealed]));
                tokio::time::sleep(PATIENCE - Duration::from_millis(1)).await;
                rig.connection.send_replace(unread(&[]));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = flaps => {}
            ended = rig.wait(LIMIT) => panic!("it ended with {ended:?}"),
        }
    }
}
