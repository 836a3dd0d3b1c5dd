//! The process's logger, kept: for tests that are alone in their binary, or take turns.
#![allow(dead_code, unreachable_pub)]

use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log as Logger, Metadata, Record};

/// A record, kept.
#[derive(Clone, Debug)]
pub struct Line {
    pub level: Level,
    pub target: String,
    pub text: String,
    /// Keys and values.
    pub values: Vec<(String, String)>,
}

struct Kept(Mutex<Vec<Line>>);

static KEPT: Kept = Kept(Mutex::new(Vec::new()));
static ALONE: Mutex<()> = Mutex::new(());

impl Logger for Kept {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &Record<'_>) {
        struct Pairs(Vec<(String, String)>);
        impl<'kvs> VisitSource<'kvs> for Pairs {
            fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
                self.0.push((key.to_string(), value.to_string()));
                Ok(())
            }
        }
        let mut pairs = Pairs(Vec::new());
        record.key_values().visit(&mut pairs).unwrap();
        self.0.lock().unwrap().push(Line {
            level: record.level(),
            target: record.target().to_owned(),
            text: record.args().to_string(),
            values: pairs.0,
        });
    }
    fn flush(&self) {}
}

/// The log of one test, while it lives; another test of the same binary waits for it.
pub struct Logged {
    _alone: MutexGuard<'static, ()>,
}

impl Logged {
    pub fn begin() -> Logged {
        static SET: Once = Once::new();
        SET.call_once(|| {
            log::set_logger(&KEPT).unwrap();
            log::set_max_level(LevelFilter::Trace);
        });
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let logged = Logged { _alone: alone };
        logged.take();
        logged
    }

    /// What came since.
    pub fn take(&self) -> Vec<Line> {
        std::mem::take(&mut *KEPT.0.lock().unwrap())
    }

    /// Of these, warnings and worse that this project wrote.
    pub fn warnings(&self) -> Vec<Line> {
        let ours = |l: &Line| l.level <= Level::Warn && l.target.starts_with("tidegate");
        self.take().into_iter().filter(ours).collect()
    }
}
