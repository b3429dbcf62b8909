//! Pictures of cart and pole: an image and a line of text.

use rlay::Array;

use super::{LENGTH, MAX_X};

const WIDTH: usize = 240;
const HEIGHT: usize = 160;
/// Pixels per metre; the whole track is 4.8 m, and the pole 1 m.
const SCALE: f64 = WIDTH as f64 / (2.0 * MAX_X);
/// Where the track lies, in pixels from the top.
const TRACK: f64 = 120.0;
const CART: (f64, f64) = (32.0, 18.0);

type Colour = [f64; 3];
const PAPER: Colour = [250.0, 248.0, 243.0];
const INK: Colour = [38.0, 40.0, 48.0];
const WOOD: Colour = [202.0, 138.0, 74.0];
const METAL: Colour = [129.0, 132.0, 203.0];

/// Cart and pole as an image of shape (height, width, 3).
pub(super) fn image(x: f64, theta: f64) -> Array {
    let cart = (WIDTH as f64 / 2.0 + x * SCALE, TRACK - CART.1 / 2.0);
    let foot = (cart.0, cart.1 - CART.1 / 4.0);
    let length = 2.0 * LENGTH * SCALE * 1.6; // drawn longer than it is, to see it lean
    let tip = (foot.0 + length * theta.sin(), foot.1 - length * theta.cos());
    let mut pixels = Vec::with_capacity(WIDTH * HEIGHT * 3);
    for row in 0..HEIGHT {
        for column in 0..WIDTH {
            let at = (column as f64 + 0.5, row as f64 + 0.5);
            // Each shape is its distance from here in pixels, negative inside; later ones lie on top.
            let shapes = [
                ((at.1 - TRACK).abs() - 0.5, INK),
                (from_box(at, cart, CART), INK),
                (from_segment(at, foot, tip) - 4.0, WOOD),
                (from_segment(at, foot, foot) - 3.0, METAL),
            ];
            let colour = shapes.iter().fold(PAPER, |below, (distance, colour)| blend(below, *colour, 0.5 - distance));
            pixels.extend(colour.map(|x| x as u8));
        }
    }
    Array::new(&[HEIGHT as u64, WIDTH as u64, 3], &pixels)
}

/// `over` on top of `below`, as opaque as the shape covers the pixel.
fn blend(below: Colour, over: Colour, cover: f64) -> Colour {
    let cover = cover.clamp(0.0, 1.0);
    std::array::from_fn(|i| below[i] + (over[i] - below[i]) * cover)
}

/// Distance of `at` from a box of `size` around `middle`, with rounded corners.
fn from_box(at: (f64, f64), middle: (f64, f64), size: (f64, f64)) -> f64 {
    const ROUND: f64 = 3.0;
    let dx = (at.0 - middle.0).abs() - size.0 / 2.0 + ROUND;
    let dy = (at.1 - middle.1).abs() - size.1 / 2.0 + ROUND;
    dx.max(0.0).hypot(dy.max(0.0)) + dx.max(dy).min(0.0) - ROUND
}

/// Distance of `at` from the line from `a` to `b`.
fn from_segment(at: (f64, f64), a: (f64, f64), b: (f64, f64)) -> f64 {
    let (along, to) = ((b.0 - a.0, b.1 - a.1), (at.0 - a.0, at.1 - a.1));
    let length = along.0 * along.0 + along.1 * along.1;
    let part = if length == 0.0 { 0.0 } else { ((to.0 * along.0 + to.1 * along.1) / length).clamp(0.0, 1.0) };
    (to.0 - part * along.0).hypot(to.1 - part * along.1)
}

/// Cart and pole in one line of text: the track, and on it a cart with a leaning pole.
pub(super) fn line(x: f64, theta: f64) -> String {
    const CELLS: usize = 49;
    let cell = ((x / MAX_X + 1.0) / 2.0 * (CELLS - 1) as f64).round().clamp(0.0, (CELLS - 1) as f64) as usize;
    let pole = match theta.to_degrees() {
        lean if lean < -4.0 => '\\',
        lean if lean > 4.0 => '/',
        _ => '|',
    };
    let track: String = (0..CELLS).map(|i| if i == cell { pole } else { '_' }).collect();
    format!("[{track}] {x:+.2} m {:+5.1} degrees", theta.to_degrees())
}
