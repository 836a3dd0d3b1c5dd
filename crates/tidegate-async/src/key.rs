//! [`TaskKey`]: names a task. Plain data, valid or stale.
#![forbid(unsafe_code)]

use tidegate_loop::Key;

/// Names a task, as every handle of a loop has a key: [`Cx::close`](tidegate_loop::Cx::close)
/// cancels it.
///
/// ```
/// use tidegate_async::{Async, TaskKey};
/// use tidegate_loop::{Key, Loop};
/// let mut lp = Loop::new()?;
/// let key: TaskKey = lp.spawn(std::future::pending::<()>()).detach();
/// assert!(lp.is_open(key));
/// lp.close(key)?;
/// lp.run()?;
/// assert!(!lp.is_open(key));
/// # let _: Key = key.into();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TaskKey(pub(crate) Key);

impl From<TaskKey> for Key {
    fn from(k: TaskKey) -> Key {
        k.0
    }
}
