// Uses the client in ways that are wrong, which come to errors that say so. Without arguments it makes every mistake
// that takes no agent, and prints what fails and the lines of a log that throws; with --listen ADDRESS it hosts
// environments that are wrong in the way that the id says.
#include <cmath>
#include <iostream>
#include <stdexcept>

#include "rlay/rlay.hpp"

namespace {

using rlay::Code;
using rlay::Error;
using rlay::NdArray;
using rlay::Value;
namespace spaces = rlay::spaces;

int failures = 0;

void expect(bool holds, int line, const std::string& what) {
  if (holds) return;
  ++failures;
  std::cerr << "misuse.cpp:" << line << ": " << what << "\n";
}

#define TRUE(condition) expect(condition, __LINE__, "not " #condition)

/// Whether the error is of this kind, and its text holds that.
void expect_error(const Error& error, Code code, const char* text, int line) {
  expect(error.code == code && error.message.find(text) != std::string::npos, line,
         "error " + std::to_string(static_cast<int>(error.code)) + ": " + error.message);
}

#define FAILS(error, code, text) expect_error(error, code, text, __LINE__)

rlay::Spec spec() { return {spaces::Discrete(4), spaces::Discrete(4), {}, {}}; }

rlay::Options quiet() {
  rlay::Options options;
  options.log = [](const std::string&) {};
  return options;
}

/// As much of an agent as the tests need. While it waits for an answer, it polls the backend, if there is one to poll.
class Agent {
 public:
  explicit Agent(const std::string& where, rlay::Backend* polled = nullptr) : polled_(polled) {
    const auto address = rlay::detail::Address::read(where);
    rlay::detail::Attempt attempt(*address, rlay::detail::Clock::now());
    std::optional<rlay::Expected<rlay::detail::Socket>> made;
    while (!made) made = attempt.advance(rlay::detail::Clock::now());
    socket_ = std::move(**made);
    rlay::Hello hello;
    hello.role = 0;
    hello.features = rlay::can_resume;
    send(rlay::detail::handshake_frame(rlay::Kind::hello, hello));
  }
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;
  ~Agent() { send({0xff, 0xff, 0xff, 0xff}); }
  void make() {
    send(frame(rlay::Kind::make, [](rlay::Writer& w) {
      w.u8(0);
      w.value(rlay::Dict());
      w.u8(0);
      w.u32(1);
      w.u8(0);
    }));
  }
  void reset() {
    send(frame(rlay::Kind::reset, [](rlay::Writer& w) {
      w.u64(1);
      w.u32(0);
      w.u8(0);
      w.value(nullptr);
    }));
  }
  void step() {
    send(frame(rlay::Kind::step, [](rlay::Writer& w) {
      w.slots({0});
      w.u32(1);
      w.value(1);
    }));
  }
  /// The next frame's kind, and its error if it is one. Without a frame within 10 s the kind is Goodbye.
  std::pair<rlay::Kind, rlay::Fault> next() {
    const auto end = rlay::detail::Clock::now() + std::chrono::seconds(10);
    while (rlay::detail::Clock::now() < end) {
      rlay::FrameReader::Frame frame;
      if (frames_.next(rlay::limits::frame, frame) == rlay::FrameReader::Found::frame) {
        rlay::Reader reader(frame.data, frame.size);
        const rlay::Kind kind = rlay::Header::read(reader).kind;
        return {kind, kind == rlay::Kind::error ? rlay::Fault::read(reader) : rlay::Fault()};
      }
      std::uint8_t inbox[4096];
      const std::ptrdiff_t n = socket_.receive(inbox, sizeof inbox);
      if (n > 0) frames_.receive(inbox, static_cast<std::size_t>(n));
      if (n <= 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (polled_ != nullptr) TRUE(!polled_->poll());
    }
    return {rlay::Kind::goodbye, rlay::Fault()};
  }
  /// The text of the error that is the next frame.
  std::string error() { return next().second.message; }

 private:
  template <class Body>
  rlay::Bytes frame(rlay::Kind kind, Body body) {
    rlay::Bytes out;
    rlay::detail::begin_frame(out, {kind, ++seq_, 0, 0});
    rlay::Writer writer(out);
    body(writer);
    rlay::detail::finish_frame(out);
    return out;
  }
  void send(const rlay::Bytes& bytes) { socket_.send(bytes.data(), bytes.size()); }

  rlay::detail::Socket socket_;
  rlay::FrameReader frames_;
  std::uint64_t seq_ = 0;
  rlay::Backend* polled_;
};

/// A polled backend whose agent has asked for a reset.
struct Polled {
  rlay::ServerBackend host{spec(), "tcp://127.0.0.1:0", quiet()};
  Agent agent{host.address(), &host};

  rlay::Turn reset() {
    agent.make();
    TRUE(agent.next().first == rlay::Kind::welcome && agent.next().first == rlay::Kind::spec);
    agent.reset();
    std::optional<rlay::Turn> turn = host.poll(10);
    TRUE(turn && turn->kind == rlay::Turn::Kind::reset);
    return turn ? *turn : rlay::Turn();
  }
};

void turns_that_are_answered_twice_or_elsewhere() {
  Polled polled;
  const rlay::Turn turn = polled.reset();
  std::thread([&turn] {
    FAILS(turn.reply(rlay::ResetResult{1}), Code::usage, "answered on the thread that polls");
  }).join();
  TRUE(!turn.reply(rlay::ResetResult{1}));
  FAILS(turn.reply(rlay::ResetResult{1}), Code::usage, "answered already");
  FAILS(turn.fail(rlay::env_error("ValueError", "no")), Code::usage, "answered already");
  TRUE(polled.agent.next().first == rlay::Kind::result);
  FAILS(rlay::Turn().reply(rlay::ResetResult{1}), Code::closed, "gone");
}

void answers_to_other_questions() {
  Polled polled;
  FAILS(polled.reset().reply(rlay::StepResult{1}), Code::env, "another question");
  TRUE(polled.agent.error().find("another question") != std::string::npos);
  for (const Value& wrong : {Value(rlay::Opaque{"Texture", "<Texture>"}), Value("\xff")}) {
    polled.agent.reset();
    FAILS(polled.host.poll(10)->reply(rlay::ResetResult{wrong}), Code::env, "cannot be sent");
    TRUE(polled.agent.error().find("cannot be sent") != std::string::npos);
  }
  NdArray array(rlay::Dtype::float32, {3});
  array.data.pop_back();
  polled.agent.reset();
  FAILS(polled.host.poll(10)->reply(rlay::ResetResult{array}), Code::env, "cannot be sent");
  polled.agent.error();
  // What is no element of the space is the agent's to judge.
  polled.agent.reset();
  TRUE(!polled.host.poll(10)->reply(rlay::ResetResult{"another type"}));
  TRUE(polled.agent.next().first == rlay::Kind::result);
}

void use_after_the_end() {
  Polled polled;
  const rlay::Turn turn = polled.reset();
  polled.host.close();
  while (polled.host.poll(0.01)) {
  }
  FAILS(turn.reply(rlay::ResetResult{1}), Code::closed, "has ended");
  TRUE(!polled.host.poll() && !polled.host.error());
  TRUE(polled.host.run().code == Code::usage);
  std::optional<rlay::Turn> kept;
  {
    Polled other;
    kept = other.reset();
  }
  FAILS(kept->reply(rlay::ResetResult{1}), Code::closed, "gone");
}

void backends_of_the_other_form() {
  rlay::ServerBackend none(rlay::MakeEnv(), "tcp://127.0.0.1:0", quiet());
  FAILS(none.run(), Code::usage, "a function that makes environments");
  TRUE(!none.poll());
  FAILS(none.error(), Code::usage, "poll() needs a backend that was made with a Spec");
  rlay::ServerBackend polled(spec(), "tcp://127.0.0.1:0", quiet());
  FAILS(polled.run(), Code::usage, "a function that makes environments");
  TRUE(!polled.poll(-1) && !polled.poll(std::nan("")) && !polled.error());
}

/// What "step closes the backend" and "step hangs" close.
rlay::Backend* hosting = nullptr;

/// An environment that is wrong in one way.
struct WrongEnv : rlay::Env {
  explicit WrongEnv(std::string what) : how(std::move(what)) {}

  rlay::Space observation_space() const override {
    if (how == "no space") return spaces::Tuple{{spaces::OneOf{}}};
    return spaces::Discrete(4);
  }
  rlay::Space action_space() const override { return spaces::Discrete(4); }
  rlay::Dict metadata() const override { return {{"render_modes", rlay::List{{"ansi"}}}}; }
  rlay::Expected<rlay::ResetResult> reset(const std::optional<rlay::Seed>&, const Value&) override {
    if (how == "reset throws") throw std::range_error("no level");
    return rlay::ResetResult{1};
  }
  rlay::Expected<rlay::StepResult> step(const Value&) override {
    if (how == "step throws") throw std::range_error("no step");
    if (how == "step throws what cannot be shown") throw 7;
    if (how == "step cannot be sent") return rlay::StepResult{rlay::Opaque{"Texture", "<Texture>"}};
    if (how == "step closes the backend") hosting->close();
    if (how == "step hangs") {
      std::thread([] {
        hosting->close();
        std::cout << "closed beside a step" << std::endl;
        std::_Exit(0);
      }).join();
    }
    return rlay::StepResult{1};
  }
  rlay::Expected<Value> render() override {
    if (how == "render throws") throw std::range_error("no frame");
    return how == "render cannot be sent" ? Value("\xff") : Value("frame");
  }
  void close() override {
    if (how == "close throws") throw std::range_error("no end");
  }

  std::string how;
};

rlay::Expected<std::unique_ptr<rlay::Env>> make_wrong(const std::string& how) {
  if (how == "make throws") throw std::range_error("no room");
  if (how == "make throws what cannot be shown") throw 7;
  if (how == "make gives nothing") return std::unique_ptr<rlay::Env>();
  return std::make_unique<WrongEnv>(how);
}

rlay::Options log_that_throws() {
  rlay::Options options;
  options.log = [](const std::string&) { throw std::runtime_error("no log"); };
  return options;
}

/// Hosts environments that are wrong in the way that the id says.
int host(const std::string& address) {
  const auto make = [](const rlay::Make& asked) { return make_wrong(asked.env_id.value_or("")); };
  rlay::ServerBackend backend(make, address, log_that_throws());
  hosting = &backend;
  std::cout << "listening at " << backend.address() << std::endl;
  const Error error = backend.run();
  std::cout << "closed" << std::endl;
  return error ? 1 : 0;
}

void callbacks_that_throw() {
  rlay::Options options = log_that_throws();
  options.max_sessions = 8;
  std::string how;
  rlay::ServerBackend backend([&how](const rlay::Make&) { return make_wrong(how); }, "tcp://127.0.0.1:0", options);
  std::thread running([&backend] { TRUE(!backend.run()); });
  const auto error_of = [&](const std::string& what) {
    how = what;
    Agent agent(backend.address());
    TRUE(agent.next().first == rlay::Kind::welcome);
    agent.make();
    if (what.find("make") != 0 && what != "no space") {
      TRUE(agent.next().first == rlay::Kind::spec);
      agent.reset();
    }
    if (what.find("step") == 0) {
      TRUE(agent.next().first == rlay::Kind::result);
      agent.step();
    }
    return agent.next();
  };
  TRUE(error_of("make throws").second.message == "no room");
  TRUE(error_of("make throws what cannot be shown").second.message.find("no std::exception") != std::string::npos);
  TRUE(error_of("make gives nothing").second.message.find("made none") != std::string::npos);
  TRUE(error_of("no space").second.message.find("OneOf space of nothing") != std::string::npos);
  const rlay::Fault thrown = error_of("reset throws").second;
  TRUE(thrown.message == "no level" && thrown.type == "std::range_error");
  TRUE(error_of("step throws what cannot be shown").second.code == static_cast<std::uint32_t>(Code::env));
  TRUE(error_of("close throws").first == rlay::Kind::result);
  TRUE(error_of("reset throws").second.message == "no level");
  backend.close();
  running.join();
}

/// Spaces that Gymnasium would refuse, and what is left of spaces and values that were moved from.
void spaces_and_values_without_content() {
  spaces::Sequence sequence{spaces::Discrete(2)};
  const spaces::Sequence taken = std::move(sequence);
  spaces::Graph graph(spaces::Discrete(2));
  const spaces::Graph other = std::move(graph);
  spaces::Box box = spaces::Box::of<float>(0, 1, {2});
  box.low.values.pop_back();
  const rlay::Space wrong[] = {sequence,
                               graph,
                               box,
                               spaces::Discrete(0),
                               spaces::Discrete(-3),
                               spaces::Discrete(3, 0, rlay::Dtype::float32),
                               spaces::MultiBinary(std::numeric_limits<std::uint64_t>::max()),
                               spaces::Text(-1),
                               spaces::Text(-1, -1),
                               spaces::Text(3, -1),
                               spaces::OneOf{},
                               spaces::MultiDiscrete({2, 2}, {0}),
                               spaces::Text(1, 2),
                               spaces::Text(1, 1, "\xff"),
                               spaces::Box::of<float>({0, 0}, {1, 1}, {3})};
  for (const rlay::Space& space : wrong) {
    rlay::Bytes out;
    rlay::Writer writer(out);
    writer.space(space);
    TRUE(!writer.ok());
    FAILS(rlay::ServerBackend({space, space, {}, {}}, "tcp://127.0.0.1:0", quiet()).error(), Code::usage, "the Spec");
  }
  rlay::GraphInstance instance(NdArray(rlay::Dtype::float32, {1, 2}), nullptr, nullptr);
  const rlay::GraphInstance moved = std::move(instance);
  TRUE(instance.nodes().is_none() && !moved.nodes().is_none());
  Value deep = 1;
  for (int i = 0; i < 100; ++i) deep = rlay::Tuple{{deep}};
  rlay::Bytes out;
  rlay::Writer writer(out);
  writer.value(deep);
  TRUE(!writer.ok());
  NdArray array = NdArray::of<float>({1, 2});
  array.set<double>(0, 5);  // another type
  array.set<float>(9, 5);   // no such element
  TRUE(array.get<float>(0) == 1 && array.get<float>(9) == 0);
}

/// Spaces that can be sent, and that Gymnasium refuses.
void spaces_that_gymnasium_refuses() {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double nan = std::nan("");
  const rlay::Half one(1.0F);
  const rlay::Half two(2.0F);
  const rlay::Space wrong[] = {spaces::Box::of<double>(nan, 1, {2}),
                               spaces::Box::of<double>(0, -nan, {2}),
                               spaces::Box::of<float>({0, std::nanf("")}, {1, 2}, {2}),
                               spaces::Box::of<double>(infinity, infinity, {2}),
                               spaces::Box::of<double>(-infinity, -infinity, {2}),
                               spaces::Box::of<float>(1, 0, {2}),
                               spaces::Box::of<float>({0, 0}, {1, -1}, {2}),
                               spaces::Box::of<rlay::Half>(two, one, {2}),
                               spaces::Box::of<std::int8_t>(1, -1, {2}),
                               spaces::Box::of<std::uint64_t>(std::uint64_t{1} << 63, 1, {2}),
                               spaces::Dict{{"a", spaces::Discrete(2)}, {"a", spaces::Discrete(2)}},
                               spaces::Tuple{{spaces::Sequence(spaces::Box::of<float>(1, 0, {}))}},
                               spaces::Graph(spaces::Discrete(2), spaces::Box::of<float>(1, 0, {2}))};
  for (const rlay::Space& space : wrong) {
    FAILS(rlay::ServerBackend({space, space, {}, {}}, "tcp://127.0.0.1:0", quiet()).error(), Code::usage, "the Spec");
  }
  const rlay::Space right[] = {spaces::Box::of<double>(-infinity, infinity, {2}),
                               spaces::Box::of<double>(0.0, -0.0, {2}),
                               spaces::Box::of<float>(-2, -1, {2}),
                               spaces::Box::of<float>({0, 1}, {1, 1}, {2}),
                               spaces::Box::of<std::uint64_t>(1, std::uint64_t{1} << 63, {2}),
                               spaces::Box::unbounded<std::int64_t>({2}),
                               spaces::Box::of<float>(0, 1, {0})};
  for (const rlay::Space& space : right) {
    TRUE(!rlay::ServerBackend({space, space, {}, {}}, "tcp://127.0.0.1:0", quiet()).error());
  }
}

void options_without_sense() {
  const auto error = [](auto change) {
    rlay::Options options = quiet();
    change(options);
    return rlay::ServerBackend(spec(), "tcp://127.0.0.1:0", options).error();
  };
  using rlay::Options;
  FAILS(error([](Options& its) { its.token = "seven 7"; }), Code::usage, "eight visible");
  FAILS(error([](Options& its) { its.token = "\t           \n"; }), Code::usage, "eight visible");
  FAILS(error([](Options& its) { its.token = "no UTF-8 \xff"; }), Code::usage, "UTF-8");
  FAILS(error([](Options& its) { its.max_sessions = 0; }), Code::usage, "max_sessions");
  FAILS(error([](Options& its) { its.max_frame = 0; }), Code::usage, "max_frame");
  FAILS(error([](Options& its) { its.max_frame = 0xffffffff; }), Code::usage, "max_frame");
  FAILS(error([](Options& its) { its.reconnect_timeout = -1; }), Code::usage, "reconnect_timeout");
  FAILS(error([](Options& its) { its.reconnect_timeout = std::nan(""); }), Code::usage, "reconnect_timeout");
  FAILS(error([](Options& its) { its.kwargs = {"size", ""}; }), Code::usage, "kwargs");
  TRUE(!error([](Options& its) { its.reconnect_timeout = std::numeric_limits<double>::infinity(); }));
}

void wrong_addresses() {
  for (const char* text :
       {"", "localhost", "tcp://", "tcp://localhost", "tcp://:5005", "tcp://[]:5005", "tcp://localhost:-1",
        "tcp://localhost:70000", "tcp://localhost: 5", "tcp://::1:5005", "tcp://127.0.0.1:0?mtu=9",
        "tcp://127.0.0.1:0/path", "tcp://0.0.0.0:0"}) {
    FAILS(rlay::ServerBackend(spec(), text, quiet()).error(), Code::address, "tcp://");
  }
  for (const char* text :
       {"unix:///tmp/game", "shm://game", "zmq://127.0.0.1:5005", "ws://127.0.0.1:5005", "tls://127.0.0.1:5005"}) {
    FAILS(rlay::ServerBackend(spec(), text, quiet()).error(), Code::address, "use tcp://host:port at both ends");
    FAILS(rlay::ClientBackend(spec(), text, quiet()).error(), Code::address, "use tcp://host:port at both ends");
  }
  const rlay::ClientBackend dialing(spec(), "tcp://1.2.3.4:5?insecure_allow_remote=yes", quiet());
  FAILS(dialing.error(), Code::address, "the side that listens");
  rlay::ServerBackend host(spec(), "tcp://127.0.0.1:0", quiet());
  TRUE(!host.error() && !host.poll());
  FAILS(rlay::ServerBackend(spec(), host.address(), quiet()).error(), Code::address, "cannot listen");
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 3 && std::string(arguments[1]) == "--listen") return host(arguments[2]);
  turns_that_are_answered_twice_or_elsewhere();
  answers_to_other_questions();
  use_after_the_end();
  backends_of_the_other_form();
  callbacks_that_throw();
  spaces_and_values_without_content();
  spaces_that_gymnasium_refuses();
  options_without_sense();
  wrong_addresses();
  if (failures > 0) return 1;
  std::cout << "all mistakes are errors\n";
  return 0;
}
