//! CartPole in Bevy: poles on carts, each an entity, which an agent pushes.
//!
//! ```text
//! cartpole --listen tcp://127.0.0.1:5005 [--num-envs N] [--realtime]
//! cartpole --dial tcp://127.0.0.1:5005 [--num-envs N] [--realtime]
//! ```

use std::time::Duration;

use bevy_app::{App, AppExit, FixedUpdate, ScheduleRunnerPlugin, Startup, TaskPoolPlugin, TerminalCtrlCHandlerPlugin};
use bevy_ecs::prelude::*;
use bevy_time::{Fixed, Time, TimePlugin};
use rlay_bevy::{
    Action, Outcome, Render, Reset, RlayPlugin, Slot,
    rlay::{BoxSpace, Discrete, Metadata, Rng},
};

const GRAVITY: f64 = 9.8;
const TOTAL_MASS: f64 = 1.1;
/// Mass of the pole times half its length.
const POLE_MOMENT: f64 = 0.05;
const FORCE: f64 = 10.0;
/// Beyond these the pole counts as fallen.
const MAX_X: f64 = 2.4;
const MAX_ANGLE: f64 = 0.2095;
const MAX_STEPS: u64 = 500;

#[derive(Component)]
#[require(Outcome<[f32; 4]>)]
struct CartPole {
    x: f64,
    speed: f64,
    angle: f64,
    spin: f64,
    steps: u64,
    rng: Rng,
}

fn main() -> AppExit {
    tracing_subscriber::fmt().init(); // what the plugin logs
    let high = [2.0 * MAX_X as f32, f32::INFINITY, 2.0 * MAX_ANGLE as f32, f32::INFINITY];
    let observation_space = BoxSpace::<f32, [f32; 4]>::with_bounds([4], &high.map(|bound| -bound), &high);
    let action_space = Discrete::new(2); // left, right
    let rlay = match (argument("--listen"), argument("--dial")) {
        (Some(address), None) => RlayPlugin::listen(address, observation_space, action_space),
        (None, Some(address)) => RlayPlugin::dial(address, observation_space, action_space),
        _ => {
            eprintln!("usage: cartpole (--listen ADDRESS | --dial ADDRESS) [--num-envs N] [--realtime]");
            return AppExit::from_code(2);
        }
    };
    let rlay = rlay.metadata(Metadata {
        render_modes: vec!["ansi".into()],
        render_fps: Some(50.0),
        reward_threshold: Some(475.0),
        max_episode_steps: Some(MAX_STEPS),
        ..Metadata::default()
    });
    let num_envs: usize = argument("--num-envs").map_or(1, |number| number.parse().expect("a number"));

    let mut app = App::new();
    app.add_plugins((TaskPoolPlugin::default(), TimePlugin, TerminalCtrlCHandlerPlugin));
    if std::env::args().any(|argument| argument == "--realtime") {
        // What a game with a window does: sixty frames a second, none of which waits for the agent.
        app.add_plugins((ScheduleRunnerPlugin::run_loop(Duration::from_secs_f64(1.0 / 60.0)), rlay));
    } else {
        app.add_plugins((ScheduleRunnerPlugin::default(), rlay.headless()));
    }
    app.insert_resource(Time::<Fixed>::from_hz(50.0));
    app.add_systems(Startup, move |mut commands: Commands| {
        for slot in 0..num_envs {
            commands.spawn((
                Slot(slot),
                CartPole { x: 0.0, speed: 0.0, angle: 0.0, spin: 0.0, steps: 0, rng: Rng::from_entropy() },
            ));
        }
    });
    app.add_observer(reset).add_observer(draw);
    app.add_systems(FixedUpdate, (push, judge, observe).chain());
    app.run()
}

/// Begins an episode.
fn reset(reset: On<Reset>, mut poles: Query<&mut CartPole>) -> Result {
    let mut pole = poles.get_mut(reset.entity)?;
    if let Some(seed) = reset.seed {
        pole.rng = Rng::seeded(seed);
    }
    let [x, speed, angle, spin] = [(); 4].map(|()| pole.rng.uniform(-0.05, 0.05));
    *pole = CartPole { x, speed, angle, spin, steps: 0, rng: pole.rng.clone() };
    Ok(())
}

/// Moves the poles that are pushed, by the equations of Barto, Sutton and Anderson (1983).
fn push(time: Res<Time>, mut poles: Query<(&mut CartPole, &Action<i64>)>) {
    let seconds = time.delta_secs_f64();
    for (mut pole, action) in &mut poles {
        let force = if action.0 == 1 { FORCE } else { -FORCE };
        let (sin, cos) = pole.angle.sin_cos();
        let pull = (force + POLE_MOMENT * pole.spin * pole.spin * sin) / TOTAL_MASS;
        let spin_up = (GRAVITY * sin - cos * pull) / (0.5 * (4.0 / 3.0 - 0.1 * cos * cos / TOTAL_MASS));
        let speed_up = pull - POLE_MOMENT * spin_up * cos / TOTAL_MASS;
        pole.x += seconds * pole.speed;
        pole.speed += seconds * speed_up;
        pole.angle += seconds * pole.spin;
        pole.spin += seconds * spin_up;
        pole.steps += 1;
    }
}

/// Says what the push was worth, and whether the episode is over.
fn judge(mut poles: Query<(&CartPole, &mut Outcome<[f32; 4]>), With<Action<i64>>>) {
    for (pole, mut outcome) in &mut poles {
        outcome.reward = 1.0;
        outcome.terminated = pole.x.abs() > MAX_X || pole.angle.abs() > MAX_ANGLE;
        outcome.truncated = pole.steps >= MAX_STEPS;
    }
}

/// Shows the agent where its pole is, after a reset as well.
fn observe(mut poles: Query<(&CartPole, &mut Outcome<[f32; 4]>), Changed<CartPole>>) {
    for (pole, mut outcome) in &mut poles {
        outcome.observation = [pole.x, pole.speed, pole.angle, pole.spin].map(|number| number as f32);
    }
}

/// Draws a pole in a line of text.
fn draw(mut render: On<Render>, poles: Query<&CartPole>) -> Result {
    let pole = poles.get(render.entity)?;
    let cell = ((pole.x / MAX_X + 1.0) * 24.0).round().clamp(0.0, 48.0) as usize;
    let lean = match pole.angle {
        angle if angle < -0.03 => '\\',
        angle if angle > 0.03 => '/',
        _ => '|',
    };
    render.frame = format!("[{:_<cell$}{lean}{:_<2$}]", "", "", 48 - cell).into();
    Ok(())
}

/// The value after `name` on the command line.
fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}
