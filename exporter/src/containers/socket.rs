//! A unix socket that may not be there, may be slow and may fail: asked with a deadline, and left alone for a while
//! after a failure.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::UnixStream,
    time::{Instant, timeout},
};

use super::ResolveError;

/// An answer that takes longer than this is none, where nothing else is said.
pub(super) const TIMEOUT: Duration = Duration::from_secs(1);
/// The first rest after a failure; each further one doubles it.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    timeout: Duration,
    rest: Mutex<Rest>,
}

#[derive(Debug, Default)]
struct Rest {
    failures: u32,
    until: Option<Instant>,
}

impl Socket {
    /// `timeout`: an answer that takes longer is none.
    pub fn new(path: &Path, timeout: Duration) -> Socket {
        Socket { path: path.to_owned(), timeout, rest: Mutex::default() }
    }

    pub async fn connect(&self) -> Result<UnixStream, ResolveError> {
        // One with nobody behind it is that of a runtime which crashed: worth to be counted.
        UnixStream::connect(&self.path).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ResolveError::Absent,
            _ => ResolveError::Io(error),
        })
    }

    /// Asks, unless it failed a moment ago. What an answer says counts for nothing here; not to get one does.
    pub async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, ResolveError>>,
    ) -> Result<T, ResolveError> {
        if self.rest().until.is_some_and(|until| Instant::now() < until) {
            return Err(ResolveError::Resting);
        }
        let answer = timeout(self.timeout, question).await.unwrap_or(Err(ResolveError::Timeout));
        let mut rest = self.rest();
        match &answer {
            Ok(_) | Err(ResolveError::Answer(_)) => *rest = Rest::default(),
            Err(_) => {
                let time = FIRST_REST.saturating_mul(1 << rest.failures.min(16)).min(LONGEST_REST);
                rest.failures += 1;
                rest.until = Some(Instant::now() + time);
            }
        }
        answer
    }

    fn rest(&self) -> std::sync::MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_fails_is_left_alone_longer_and_longer() {
        let socket = Socket::new(Path::new("/nonexistent/socket"), TIMEOUT);
        let connect = || async { socket.ask(async { socket.connect().await.map(drop) }).await };
        let mut rests = Vec::new();
        for _ in 0..12 {
            assert!(matches!(connect().await, Err(ResolveError::Absent)));
            let began = Instant::now();
            while matches!(connect().await, Err(ResolveError::Resting)) {
                tokio::time::advance(Duration::from_millis(50)).await;
                if began.elapsed() > LONGEST_REST {
                    break;
                }
                // The one that is let through fails again, which doubles the rest: look at the time only.
                if socket.rest().until.is_none_or(|until| Instant::now() >= until) {
                    break;
                }
            }
            rests.push(began.elapsed().as_millis());
        }
        assert_eq!(rests.get(..4), Some(&[100, 200, 400, 800][..]));
        assert_eq!(rests.last(), Some(&LONGEST_REST.as_millis()));
        // A good answer ends it, and so does a bad one that came in time.
        tokio::time::advance(LONGEST_REST).await;
        assert!(matches!(socket.ask(async { Ok(1) }).await, Ok(1)));
        let bad = || async { Err::<(), _>(ResolveError::Answer("no".into())) };
        assert!(matches!(socket.ask(bad()).await, Err(ResolveError::Answer(_))));
        assert!(matches!(socket.ask(bad()).await, Err(ResolveError::Answer(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_never_comes_is_none() {
        let socket = Socket::new(Path::new("/"), TIMEOUT);
        let never = std::future::pending::<Result<(), ResolveError>>();
        assert!(matches!(socket.ask(never).await, Err(ResolveError::Timeout)));
        assert!(matches!(socket.ask(async { Ok(()) }).await, Err(ResolveError::Resting)));
    }
}
