//! What the benches share: alternating measurements, and libuv's side of them.
#![deny(unsafe_code)]

#[allow(unsafe_code)] // calls into C
pub mod sys;

/// Two contenders, measured in turns: a slow second of the machine hits both.
pub fn alternate(
    rounds: usize,
    mut own: impl FnMut() -> f64,
    mut peer: impl FnMut() -> f64,
) -> [f64; 3] {
    let (mut owns, mut peers, mut ratios) = (vec![], vec![], vec![]);
    for round in 0..rounds {
        // Who goes first alternates, too.
        let (a, b) = if round % 2 == 0 {
            let a = own();
            (a, peer())
        } else {
            let b = peer();
            (own(), b)
        };
        owns.push(a);
        peers.push(b);
        ratios.push(b / a);
    }
    [median(owns), median(peers), median(ratios)]
}

/// The middle value.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The numbers below `n` in an order without order, always the same.
pub fn shuffled(n: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for i in (1..order.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        order.swap(i, (state >> 33) as usize % (i + 1));
    }
    order
}
