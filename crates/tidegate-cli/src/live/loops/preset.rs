//! The scenes of the demonstration, as data: what they do, and what there is to notice. What their
//! clients do is in `crowd.rs`.
#![forbid(unsafe_code)]

use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Preset {
    Quiet,
    SlowReader,
    Blocked,
    Burst,
    Greedy,
    BudgetOne,
    Resets,
}

/// What the page says of a preset.
struct About {
    title: &'static str,
    script: &'static str,
    notice: &'static str,
    question: &'static str,
    /// The first is right.
    answers: [&'static str; 3],
}

impl Preset {
    pub(crate) const ALL: [Preset; 7] = [
        Preset::Quiet,
        Preset::SlowReader,
        Preset::Blocked,
        Preset::Burst,
        Preset::Greedy,
        Preset::BudgetOne,
        Preset::Resets,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Preset::Quiet => "quiet",
            Preset::SlowReader => "slow",
            Preset::Blocked => "blocked",
            Preset::Burst => "burst",
            Preset::Greedy => "greedy",
            Preset::BudgetOne => "budget1",
            Preset::Resets => "resets",
        }
    }

    pub(crate) fn of(name: &str) -> Option<Preset> {
        Preset::ALL.into_iter().find(|preset| preset.name() == name)
    }

    pub(crate) fn to_json(self) -> Value {
        let about = self.about();
        json!({
            "name": self.name(), "title": about.title, "script": about.script,
            "notice": about.notice, "question": about.question, "answers": about.answers,
        })
    }

    fn about(self) -> About {
        match self {
            Preset::Quiet => About {
                title: "Quiet",
                script: "Five clients send 10 messages a second each; the server sends them back.",
                notice: "Almost all of each turn is the wait in the poll, drawn hollow: a loop \
                         that waits uses no processor. Each message is one short call of its \
                         connection.",
                question: "Where does a loop with little to do spend its time?",
                answers: ["in the poll, waiting", "asking each connection in turn", "in timers"],
            },
            Preset::SlowReader => About {
                title: "Slow reader",
                script: "One client asks for 10 MiB and reads 64 KiB a second. Four others send \
                         messages as before.",
                notice: "The bytes wait in three places: the client's kernel, this kernel, and \
                         our queue, which stops at its high-water mark because the server stops \
                         at `Full`. The other clients are as fast as before: nobody waits for \
                         the slow one.",
                question: "The server has 10 MiB for a client that does not read. How much of it \
                           is in the server's memory?",
                answers: [
                    "about the high-water mark: the server stops at `Full`",
                    "all of it",
                    "nothing: the kernel keeps it",
                ],
            },
            Preset::Blocked => About {
                title: "Blocked loop",
                script: "Every three seconds one callback sleeps for 500 ms. 20 clients connect \
                         each second, all the time.",
                notice: "While the callback sleeps, the page's own figures of the loop grow old, \
                         but the accept queue fills: the kernel goes on shaking hands without \
                         the loop. Then comes one long turn, and the server accepts the whole \
                         queue. The notes name the connection whose callback blocked, and how \
                         many clients waited.",
                question: "A callback sleeps. What happens to a client that connects now?",
                answers: [
                    "its connect succeeds at once; then it waits for an answer",
                    "its connect waits until the callback returns",
                    "its connect is refused",
                ],
            },
            Preset::Burst => About {
                title: "Burst at the door",
                script: "200 clients connect while the server does not accept; then it does. \
                         Every four seconds.",
                notice: "The server begins with few connections, takes twice as many in each \
                         turn while there are more, but never more than 64 (`accept_budget`, marked b): then \
                         everybody else has a turn, and the next poll does not wait.",
                question: "200 connections wait. How many of them does the server take in one \
                           turn?",
                answers: [
                    "64 at most, and the next poll does not wait",
                    "all that wait",
                    "one, always",
                ],
            },
            Preset::Greedy => About {
                title: "One greedy connection",
                script: "One client sends 8 MiB every second, as fast as it can. Four others send \
                         messages as before.",
                notice: "The greedy connection reads 64 KiB in a turn (`read_budget`), is queued \
                         again behind the others, and is marked as carried over. The four others \
                         are called in each turn and wait for 64 KiB at most.",
                question: "One connection has 8 MiB to read. When do the others have their turn?",
                answers: [
                    "after each 64 KiB: the read budget",
                    "after the 8 MiB",
                    "when the greedy client pauses",
                ],
            },
            Preset::BudgetOne => About {
                title: "Budget 1",
                script: "The same burst of 200 clients, on a server with `accept_budget(1)`.",
                notice: "200 turns with one connection each, and a poll in each of them: compare \
                         the time with the burst of 64 at a time. This is what batches are for.",
                question: "The accept budget is 1. How many polls do 200 waiting connections \
                           cost?",
                answers: ["200", "four", "one"],
            },
            Preset::Resets => About {
                title: "Reset storm",
                script: "100 clients connect; half of them reset the connection before it is \
                         accepted, the others after 50 ms. Every three seconds.",
                notice: "A connection can be over before it is yours: the server accepts it, and \
                         the first read says that it was reset. Each reset closes that one \
                         connection, with a note, and nothing else.",
                question: "A client connects and resets before the server accepts. What does the \
                           server see?",
                answers: [
                    "a connection whose first read fails",
                    "nothing at all",
                    "an error of the listener that stops it",
                ],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_preset_is_found_by_its_name_and_says_what_to_notice() {
        for preset in Preset::ALL {
            assert_eq!(Preset::of(preset.name()), Some(preset));
            let json = preset.to_json();
            for field in ["title", "script", "notice", "question"] {
                assert!(json[field].as_str().unwrap().len() > 4, "{preset:?}: {field}");
            }
            assert_eq!(json["answers"].as_array().unwrap().len(), 3);
        }
        assert_eq!(Preset::of("nothing"), None);
    }
}
