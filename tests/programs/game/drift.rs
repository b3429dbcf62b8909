//! Drift: a thing that drifts, and is pushed.

use rlay::{
    AnySpace, Array, BoxSpace, Dict, Discrete, EnvError, EnvFailure, Map, Metadata, MultiBinary, MultiDiscrete, Space,
    StepResult, Value,
};

/// PCG32 (XSH-RR, O'Neill 2014).
#[derive(Default)]
struct Generator {
    state: u64,
}

impl Generator {
    fn seed(&mut self, seed: u64) {
        self.state = 0;
        self.next();
        self.state = self.state.wrapping_add(seed);
        self.next();
    }

    fn next(&mut self) -> u32 {
        let old = self.state;
        self.state = old.wrapping_mul(6364136223846793005).wrapping_add(109);
        let x = (((old >> 18) ^ old) >> 27) as u32;
        x.rotate_right((old >> 59) as u32)
    }
}

pub(crate) struct Drift {
    pub(crate) observations: AnySpace,
    pub(crate) actions: AnySpace,
    renders_text: bool,
    random: Generator,
    t: i64,
    x: f64,
    v: f64,
    fuel: i64,
    board: [u8; 64],
    dials: [i64; 2],
    lights: [i8; 4],
}

impl Drift {
    pub(crate) fn new(render_mode: Option<&str>) -> Self {
        let names = ["board", "dials", "fuel", "lights", "position"];
        let (board, position) = (BoxSpace::<u8>::new([8, 8], 0, 255), BoxSpace::<f64>::unbounded([2]));
        let spaces = (board, MultiDiscrete::new(&[3, 5]), Discrete::new(32), MultiBinary::new(4), position);
        let mut random = Generator::default();
        random.seed(0);
        Self {
            observations: Dict::new(names, spaces).describe(),
            actions: Discrete::new(3).describe(),
            renders_text: render_mode == Some("ansi"),
            random,
            t: 0,
            x: 0.0,
            v: 0.0,
            fuel: 0,
            board: [0; 64],
            dials: [0; 2],
            lights: [0; 4],
        }
    }

    pub(crate) fn reset(&mut self, seed: Option<u64>) -> Value {
        if let Some(seed) = seed {
            self.random.seed(seed);
        }
        (self.t, self.v) = (0, 0.0);
        self.x = f64::from(self.random.next()) / 2147483648.0 - 1.0;
        self.fuel = i64::from(20 + self.random.next() % 12);
        for cell in &mut self.board {
            *cell = (self.random.next() & 255) as u8;
        }
        self.lamps();
        self.observation()
    }

    pub(crate) fn step(&mut self, action: &Value) -> Result<StepResult<Value>, EnvError> {
        let Some(action @ 0..=2) = action.as_i64() else {
            return Err(EnvFailure::new("ValueError", format!("an action from 0 to 2, not {action:?}")).into());
        };
        let push = action - 1;
        self.t += 1;
        let noise = (f64::from(self.random.next()) / 4294967296.0 - 0.5) * 0.03125;
        self.v = self.v * 0.9375 + push as f64 * 0.0625 + noise;
        self.x += self.v;
        if push != 0 && self.fuel > 0 {
            self.fuel -= 1;
        }
        let cell = (self.random.next() % 64) as usize;
        self.board[cell] = (self.random.next() & 255) as u8;
        self.lamps();
        let info = Map::from([
            ("t", Value::from(self.t)),
            ("speed", self.v.abs().into()),
            ("far", (self.x > 1.0 || self.x < -1.0).into()),
            ("name", "drift – é漢🎲".into()),
        ]);
        Ok(StepResult {
            observation: self.observation(),
            reward: 1.0 - self.x * self.x,
            terminated: self.x > 2.0 || self.x < -2.0 || self.fuel == 0,
            truncated: self.t >= 100,
            info,
        })
    }

    pub(crate) fn render(&self) -> Value {
        if self.renders_text {
            return format!("t={}", self.t).into();
        }
        let pixel = |cell: &u8| [*cell, 255 - cell, (self.t & 255) as u8];
        Value::Array(Array::new(&[8, 8, 3], &self.board.iter().flat_map(pixel).collect::<Vec<u8>>()))
    }

    fn lamps(&mut self) {
        self.dials = [self.t % 3, i64::from(self.random.next() % 5)];
        let lights = self.random.next() & 15;
        self.lights = [0, 1, 2, 3].map(|i| (lights >> i & 1) as i8);
    }

    fn observation(&self) -> Value {
        Value::Dict(Map::from([
            ("board", Value::Array(Array::new(&[8, 8], &self.board))),
            ("dials", Value::Array(Array::new(&[2], &self.dials))),
            ("fuel", self.fuel.into()),
            ("lights", Value::Array(Array::new(&[4], &self.lights))),
            ("position", Value::Array(Array::new(&[2], &[self.x, self.v]))),
        ]))
    }
}

pub(crate) fn metadata() -> Metadata {
    Metadata {
        render_modes: vec!["rgb_array".into(), "ansi".into()],
        render_fps: Some(25.0),
        reward_threshold: Some(60.0),
        max_episode_steps: Some(100),
        ..Metadata::default()
    }
}
