//! The header fields `traceparent` and `tracestate` of W3C Trace Context: read strictly, written.
#![forbid(unsafe_code)]

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Bytes of `tracestate` that are looked at. The standard asks for 512 at least.
const MOST_STATE: usize = 4096;

/// What the fields of a request say about its trace. `None`: there is no `traceparent`, more than
/// one, or a wrong one; then a new trace begins. A wrong `tracestate` alone is dropped.
///
/// ```
/// use tidegate_otel::read_traceparent;
/// let fields = [("traceparent", &b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"[..])];
/// let parent = read_traceparent(fields).unwrap();
/// assert_eq!(parent.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
/// assert!(parent.is_sampled() && parent.is_remote());
/// ```
pub fn read_traceparent<'f>(
    fields: impl IntoIterator<Item = (&'f str, &'f [u8])>,
) -> Option<SpanContext> {
    let (mut parent, mut state) = (None, Vec::new());
    for (name, value) in fields {
        if name.eq_ignore_ascii_case("traceparent") {
            if parent.replace(value).is_some() {
                return None;
            }
        } else if name.eq_ignore_ascii_case("tracestate") && state.len() < MOST_STATE {
            if !state.is_empty() {
                state.push(b',');
            }
            state.extend_from_slice(value);
        }
    }
    let (trace, span, flags) = ids(parent?)?;
    state.truncate(MOST_STATE);
    let state = std::str::from_utf8(&state).ok().and_then(|text| text.parse().ok());
    Some(SpanContext::new(trace, span, flags, true, state.unwrap_or(TraceState::NONE)))
}

/// The two values for a request that belongs to this span: `traceparent`, and `tracestate` if there
/// is one. `None`: the span belongs to no trace.
///
/// ```
/// use opentelemetry::trace::SpanContext;
/// assert_eq!(tidegate_otel::write_traceparent(&SpanContext::empty_context()), None);
/// ```
pub fn write_traceparent(of: &SpanContext) -> Option<(String, Option<String>)> {
    if !of.is_valid() {
        return None;
    }
    let flags = of.trace_flags() & TraceFlags::SAMPLED;
    let parent = format!("00-{}-{}-{flags:02x}", of.trace_id(), of.span_id());
    Some((parent, Some(of.trace_state().header()).filter(|state| !state.is_empty())))
}

/// `00-` 32 digits `-` 16 digits `-` 2 digits; more only in versions that are not known yet.
fn ids(value: &[u8]) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (known, more) = value.split_at_checked(55)?;
    let [version, trace, span, flags] = [0..2, 3..35, 36..52, 53..55].map(|at| digits(&known[at]));
    let dashes = [2, 35, 52].into_iter().all(|at| known[at] == b'-');
    let fits = match version? {
        0 => more.is_empty(),
        0xff => false,
        _ => more.is_empty() || more[0] == b'-',
    };
    let (trace, span) = (TraceId::from(trace?), SpanId::from(u64::try_from(span?).ok()?));
    let flags = TraceFlags::new(u8::try_from(flags?).ok()?) & TraceFlags::SAMPLED;
    let valid = dashes && fits && trace != TraceId::INVALID && span != SpanId::INVALID;
    valid.then_some((trace, span, flags))
}

/// Lower-case hexadecimal.
fn digits(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0, |n, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(n << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(value: &str) -> Option<SpanContext> {
        read_traceparent([("Traceparent", value.as_bytes())])
    }

    /// The cases of the W3C's own test suite that concern one header.
    #[test]
    fn what_is_taken_and_what_is_not() {
        assert!(read(GOOD).is_some());
        let longer = |version: &str, more: &str| format!("{version}{}{more}", &GOOD[2..]);
        for (value, taken) in [
            (longer("00", ""), true),
            (longer("00", "-"), false),
            (longer("00", "-what"), false),
            (longer("00", "."), false),
            (longer("cc", ""), true),
            (longer("cc", "-what-the-future"), true),
            (longer("cc", ".what"), false),
            (longer("ff", ""), false),
            (longer(".0", ""), false),
            (longer("0.", ""), false),
            (longer("0", ""), false),
            (longer("000", ""), false),
            (GOOD.to_uppercase(), false),
            (GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)), false),
            (GOOD.replace("b7ad6b7169203331", &"0".repeat(16)), false),
            (GOOD.replace("0af", ".af"), false),
            (GOOD.replace("b7a", "B7a"), false),
            (GOOD[..54].to_owned(), false),
            (GOOD.replace("-01", "-.1"), false),
            (GOOD.replace("-01", "_01"), false),
            (GOOD.replace("-b7", "--7"), false),
            (String::new(), false),
        ] {
            assert_eq!(read(&value).is_some(), taken, "{value:?}");
        }
        let twice = [("traceparent", GOOD.as_bytes()), ("traceparent", GOOD.as_bytes())];
        assert!(read_traceparent(twice).is_none());
        assert!(!read(&GOOD.replace("-01", "-00")).unwrap().is_sampled());
    }

    #[test]
    fn tracestate() {
        let parent = ("traceparent", GOOD.as_bytes());
        let of = |states: &[&'static str]| {
            let states = states.iter().map(|s| ("TraceState", s.as_bytes()));
            read_traceparent([parent].into_iter().chain(states)).unwrap().trace_state().header()
        };
        assert_eq!(of(&["foo=1 ,\tbar=2", "rojo=3"]), "foo=1,bar=2,rojo=3");
        assert_eq!(of(&["foo"]), "", "a wrong one is dropped alone");
        assert_eq!(of(&[]), "");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace: u128, span: u64, sampled: bool) {
            let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
            let state = "foo=1".parse().unwrap();
            let of = SpanContext::new(trace.into(), span.into(), flags, true, state);
            let Some((parent, state)) = write_traceparent(&of) else {
                prop_assert!(trace == 0 || span == 0);
                return Ok(());
            };
            let state = state.unwrap();
            let fields = [("traceparent", parent.as_bytes()), ("tracestate", state.as_bytes())];
            prop_assert_eq!(read_traceparent(fields), Some(of));
        }

        #[test]
        fn nothing_panics(value in ".{0,70}") {
            let _ = read(&value);
        }
    }
}
