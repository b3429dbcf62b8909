// Tests what the tests in Python cannot see: the session's answers to a peer that is wrong, hostile or cut off, and the
// poll form. It prints nothing but what fails.
#include <cmath>
#include <iostream>
#include <random>

#include "rlay/rlay.hpp"

namespace {

using rlay::Bytes;
using rlay::Code;
using rlay::Kind;

int failures = 0;

#define EXPECT(condition)                                                      \
  do {                                                                         \
    if (!(condition)) {                                                        \
      ++failures;                                                              \
      std::cerr << __FILE__ << ":" << __LINE__ << ": not " #condition << "\n"; \
    }                                                                          \
  } while (false)

/// An agent that writes frames, and reads what a session or a greeting answers.
struct Agent {
  std::uint64_t seq = 0;
  std::uint64_t ack = 0;

  template <class Body>
  Bytes frame(Kind kind, Body body) {
    Bytes out;
    rlay::detail::begin_frame(out, {kind, ++seq, ack, 0});
    rlay::Writer writer(out);
    body(writer);
    rlay::detail::finish_frame(out);
    return out;
  }
  Bytes make() {
    return frame(Kind::make, [](rlay::Writer& w) {
      w.u8(0);
      w.value(rlay::Dict());
      w.u8(0);
      w.u32(1);
      w.u8(0);
    });
  }
  Bytes reset(const std::vector<std::uint32_t>& slots = {0}) {
    return frame(Kind::reset, [&](rlay::Writer& w) {
      w.u64(slots.size());
      for (const std::uint32_t slot : slots) {
        w.u32(slot);
        w.u8(0);
      }
      w.value(nullptr);
    });
  }
  Bytes step(const rlay::Value& action = 1) {
    return frame(Kind::step, [&](rlay::Writer& w) {
      w.slots({0});
      w.u32(1);
      w.value(action);
    });
  }
  Bytes slots(Kind kind, const std::vector<std::uint32_t>& named) {
    return frame(kind, [&](rlay::Writer& w) { w.slots(named); });
  }
  static Bytes hello(std::uint64_t features = rlay::can_resume, const rlay::Resumption& resumption = {}) {
    rlay::Hello hello;
    hello.role = 0;
    hello.features = features;
    hello.resumption = resumption;
    return rlay::detail::handshake_frame(Kind::hello, hello);
  }
};

rlay::Spec spec() { return {rlay::spaces::Discrete(4), rlay::spaces::Discrete(4), {}, {}}; }

void give(rlay::EnvSession& session, const Bytes& bytes) { session.receive(bytes.data(), bytes.size()); }

/// All that the session has to send, in pieces of seven bytes.
Bytes taken(rlay::EnvSession& session) {
  Bytes all;
  for (auto chunk = session.output(); chunk.size > 0; chunk = session.output()) {
    const std::size_t n = chunk.size < 7 ? chunk.size : 7;
    all.insert(all.end(), chunk.data, chunk.data + n);
    session.sent(n);
  }
  return all;
}

struct Said {
  std::vector<rlay::Header> frames;
  std::vector<std::uint32_t> codes;  // of the errors
  bool is_closed = false;
};

Said read(const Bytes& bytes) {
  Said said;
  rlay::FrameReader frames;
  frames.receive(bytes.data(), bytes.size());
  rlay::FrameReader::Frame frame;
  for (;;) {
    switch (frames.next(rlay::limits::frame, frame)) {
      case rlay::FrameReader::Found::frame: {
        rlay::Reader reader(frame.data, frame.size);
        said.frames.push_back(rlay::Header::read(reader));
        if (said.frames.back().kind == Kind::error) said.codes.push_back(rlay::Fault::read(reader).code);
        break;
      }
      case rlay::FrameReader::Found::close_mark: said.is_closed = true; return said;
      default: return said;
    }
  }
}

/// A session that a listener has admitted.
void admit(rlay::EnvSession& session, std::uint64_t features = rlay::can_resume) {
  rlay::Greeting greeting({}, {});
  const Bytes hello = Agent::hello(features);
  greeting.receive(hello.data(), hello.size());
  EXPECT(greeting.state() == rlay::Greeting::State::asks);
  greeting.admit(session, {1, 2, 3});
  EXPECT(read(taken(session)).frames.at(0).kind == Kind::welcome);
}

std::uint32_t code(Code code) { return static_cast<std::uint32_t>(code); }

/// The code with which a session refuses a request.
std::uint32_t refusal(rlay::EnvSession& session, const Bytes& request) {
  give(session, request);
  const Said said = read(taken(session));
  EXPECT(!session.is_over());
  return said.codes.size() == 1 ? said.codes[0] : 0;
}

void halves() {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    rlay::Half half;
    half.bits = static_cast<std::uint16_t>(bits);
    const auto wide = static_cast<float>(half);
    EXPECT(std::isnan(wide) || rlay::Half(wide).bits == bits);
  }
  EXPECT(rlay::Half(1.0F).bits == 0x3c00);
  EXPECT(rlay::Half(65519.0F).bits == 0x7bff);
  EXPECT(rlay::Half(65520.0F).bits == 0x7c00);
  EXPECT(rlay::Half(1.0F + 1.0F / 2048).bits == 0x3c00);
  EXPECT(rlay::Half(1.0F + 3.0F / 2048).bits == 0x3c02);
}

void numbers_out_of_range() {
  EXPECT(rlay::NdArray::of<double>({1e300}).get<std::int32_t>(0) == 0);
  EXPECT(rlay::NdArray::of<float>({std::nanf("")}).get<std::int64_t>(0) == 0);
  EXPECT(rlay::NdArray::of<double>({-2147483648.0}).get<std::int32_t>(0) == std::numeric_limits<std::int32_t>::min());
  EXPECT(rlay::NdArray::of<float>({1}).get<float>(5) == 0);
  EXPECT(!rlay::Value(rlay::Scalar::of<std::uint64_t>(std::uint64_t{1} << 63)).to_int());
  EXPECT(rlay::Value(rlay::Scalar::of<float>(1.5F)).to_double() == 1.5 && rlay::Value(2).to_double() == 2.0);
  EXPECT(!rlay::Value("2").to_double());
}

void texts_in_a_log() {
  EXPECT(rlay::detail::printable("a\x1b[2J\r\n\x7f" "b") == "a [2J   b");
  EXPECT(rlay::detail::printable("\xc2\x9b" "31m\xc2\xa0") == " 31m\xc2\xa0");
  EXPECT(rlay::detail::printable("\u2027\u2028\u202e\u202f\u2065\u2066\u2069\u206a") == "\u2027  \u202f\u2065  \u206a");
  EXPECT(rlay::detail::printable("\xe2\x80") == "??");
}

void requests_out_of_turn() {
  Agent agent;
  rlay::EnvSession session({});
  admit(session);
  EXPECT(refusal(session, agent.reset()) == code(Code::usage));
  give(session, agent.make());
  EXPECT(refusal(session, agent.step()) == code(Code::usage));
  session.next_turn()->reply(spec());
  EXPECT(read(taken(session)).frames.at(0).kind == Kind::spec);
  EXPECT(refusal(session, agent.make()) == code(Code::usage));
  EXPECT(refusal(session, agent.step()) == code(Code::reset_needed));
  EXPECT(refusal(session, agent.reset({})) == code(Code::usage));
  EXPECT(refusal(session, agent.reset({1})) == code(Code::usage));
  EXPECT(refusal(session, agent.reset({0, 0})) == code(Code::usage));
  EXPECT(refusal(session, agent.slots(Kind::render, {0})) == code(Code::usage));
  EXPECT(refusal(session, agent.frame(Kind::step_agents, [](rlay::Writer& w) { w.u64(7); })) == code(Code::usage));
  give(session, agent.reset());
  EXPECT(refusal(session, agent.step()) == code(Code::busy));
  EXPECT(refusal(session, agent.slots(Kind::close, {})) == code(Code::busy));
  const rlay::Turn reset = *session.next_turn();
  reset.reply(rlay::StepResult{1});  // another answer than was asked for
  EXPECT(read(taken(session)).codes == std::vector<std::uint32_t>{code(Code::env)});
  reset.reply(rlay::ResetResult{1});  // too late
  EXPECT(taken(session).empty());
  give(session, agent.reset());
  session.next_turn()->reply(rlay::ResetResult{rlay::Opaque{"a", "b"}});
  EXPECT(read(taken(session)).codes == std::vector<std::uint32_t>{code(Code::env)});
  give(session, agent.slots(Kind::close, {}));
  session.next_turn()->reply({});
  EXPECT(read(taken(session)).frames.at(0).kind == Kind::closed);
  EXPECT(refusal(session, agent.reset()) == code(Code::closed));
  give(session, agent.frame(Kind::goodbye, [](rlay::Writer& w) {
    w.u32(0);
    w.text("");
  }));
  EXPECT(session.is_over());
  EXPECT(!session.next_turn());
  EXPECT(read(taken(session)).is_closed);
}

void metadata_that_is_not_declared() {
  Agent agent;
  rlay::EnvSession session({});
  admit(session);
  give(session, agent.make());
  session.next_turn()->reply(spec());
  Bytes expected;
  rlay::Writer(expected).value(rlay::Dict{{"render_modes", rlay::List{}}});
  const Bytes sent = taken(session);
  EXPECT(std::search(sent.begin(), sent.end(), expected.begin(), expected.end()) != sent.end());
}

void violations() {
  for (const int what : {0, 1, 2, 3}) {
    Agent agent;
    rlay::EnvSession session({});
    admit(session);
    give(session, agent.make());
    const rlay::Turn turn = *session.next_turn();
    turn.reply(spec());
    taken(session);
    if (what == 0) ++agent.seq;
    if (what == 1) agent.ack = 99;
    if (what == 2) give(session, {0xfe, 0xff, 0xff, 0xff});
    Bytes frame = agent.reset();
    if (what == 3) frame[5] = 1;
    give(session, frame);
    const Said said = read(taken(session));
    EXPECT(session.is_over() && said.is_closed && said.codes == std::vector<std::uint32_t>{code(Code::protocol)});
    EXPECT(session.next_turn()->kind == rlay::Turn::Kind::close);
    EXPECT(!session.next_turn());
  }
}

/// A frame of a handshake, with 1 in its seq (0), ack (1) or re (2), or as it should be (3).
template <class Message>
Bytes numbered(Kind kind, const Message& message, std::size_t number) {
  Bytes frame = rlay::detail::handshake_frame(kind, message);
  if (number < 3) frame[12 + 8 * number] = 1;
  return frame;
}

void handshakes_with_numbers() {
  rlay::Options options;
  options.token = "eight visible";
  const auto refusal = [](const rlay::Options& its, const Bytes& frame) {
    rlay::EnvSession session(its);
    session.connect({});
    taken(session);
    give(session, frame);
    EXPECT(taken(session).empty() || !session.refusal());
    return session.refusal();
  };
  for (std::size_t number = 0; number < 4; ++number) {
    const bool is_right = number == 3;
    const Code wrong = is_right ? Code::none : Code::protocol;
    EXPECT(refusal({}, numbered(Kind::welcome, rlay::Welcome(), number)).code == wrong);
    EXPECT(refusal(options, numbered(Kind::challenge, rlay::detail::Secret(), number)).code == wrong);
    const Bytes reject = numbered(Kind::reject, rlay::Reject{code(Code::busy), 0, 0, "full"}, number);
    EXPECT(refusal({}, reject).code == (is_right ? Code::busy : Code::protocol));
    rlay::Greeting greeting(options, {});
    rlay::Hello hello;
    hello.role = 0;
    hello.auth = 1;
    const Bytes hello_frame = rlay::detail::handshake_frame(Kind::hello, hello);
    greeting.receive(hello_frame.data(), hello_frame.size());
    const auto output = greeting.output();
    const Bytes challenge(output.data + 4, output.data + output.size);
    const rlay::Bytes32 secret =
        rlay::prove(options.token, "rlay dialer", rlay::detail::without_length(hello_frame), challenge);
    const Bytes proof = numbered(Kind::proof, rlay::detail::Secret{secret}, number);
    greeting.receive(proof.data(), proof.size());
    EXPECT(greeting.state() == (is_right ? rlay::Greeting::State::asks : rlay::Greeting::State::refused));
  }
}

void listeners_of_other_protocols() {
  for (const auto& [first, name] : {std::pair{"HTTP/1.1 400", "HTTP"}, std::pair{"\x15\x03\x01\x01", "TLS"}}) {
    rlay::EnvSession session({});
    session.connect({});
    const std::string text = first;
    give(session, Bytes(text.begin(), text.end()));
    EXPECT(session.refusal().code == Code::protocol && session.refusal().message.find(name) != std::string::npos);
  }
}

void a_malformed_action_ends_the_request_alone() {
  Agent agent;
  rlay::EnvSession session({});
  admit(session);
  give(session, agent.make());
  session.next_turn()->reply(spec());
  give(session, agent.reset());
  session.next_turn()->reply(rlay::ResetResult{1});
  taken(session);
  const Bytes malformed = agent.frame(Kind::step, [](rlay::Writer& w) {
    w.slots({0});
    w.u32(1);
    w.u32(77);
  });
  EXPECT(refusal(session, malformed) == code(Code::protocol));
  give(session, agent.step());
  EXPECT(session.next_turn()->kind == rlay::Turn::Kind::step);
}

void resuming() {
  Agent agent;
  rlay::EnvSession session({});
  admit(session);
  give(session, agent.make());
  session.next_turn()->reply(spec());
  give(session, agent.reset());
  const rlay::Turn turn = *session.next_turn();
  taken(session);
  session.connection_lost();
  EXPECT(session.needs_connection());
  turn.reply(rlay::ResetResult{1});  // goes out over the next connection
  EXPECT(taken(session).empty());
  const auto resume = [&](std::uint64_t received) {
    rlay::Greeting greeting({}, {});
    const Bytes hello = Agent::hello(rlay::can_resume | rlay::resumes, {*session.ticket(), received});
    greeting.receive(hello.data(), hello.size());
    return greeting.resume(session);
  };
  EXPECT(resume(0));
  Said said = read(taken(session));
  EXPECT(said.frames.size() == 3 && said.frames[0].kind == Kind::welcome && said.frames[1].kind == Kind::spec);
  EXPECT(resume(1));
  said = read(taken(session));
  EXPECT(said.frames.size() == 2 && said.frames[1].kind == Kind::result && said.frames[1].seq == 2);
  agent.ack = 2;
  give(session, agent.step());
  EXPECT(session.next_turn()->kind == rlay::Turn::Kind::step);
  EXPECT(!resume(1));  // overtaken
  EXPECT(!session.is_over());
  EXPECT(resume(50));  // a violation
  EXPECT(session.is_over() && read(taken(session)).is_closed);
}

void a_session_without_a_ticket_ends_with_its_connection() {
  Agent agent;
  rlay::EnvSession session({});
  admit(session, 0);
  give(session, agent.make());
  session.connection_lost();
  EXPECT(session.is_over() && session.next_turn()->kind == rlay::Turn::Kind::close);
}

void turns_outlive_sessions() {
  Agent agent;
  auto session = std::make_unique<rlay::EnvSession>(rlay::Options());
  admit(*session);
  give(*session, agent.make());
  const rlay::Turn turn = *session->next_turn();
  session.reset();
  turn.reply(spec());
}

/// Gives a session a conversation in which some bytes are wrong.
void wrong_bytes() {
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    Agent agent;
    rlay::EnvSession session({});
    admit(session);
    Bytes stream;
    const rlay::Value action = rlay::Tuple{{1, rlay::Dict{{"a", rlay::NdArray::of<float>({1, 2})}}, "text"}};
    for (const Bytes& frame :
         {agent.make(), agent.reset(), agent.step(action), agent.slots(Kind::render, {0}), agent.step(2)}) {
      stream.insert(stream.end(), frame.begin(), frame.end());
    }
    for (int wrong = 0; wrong < 3; ++wrong) {
      stream[random() % stream.size()] = static_cast<std::uint8_t>(random() % 4 == 0 ? random() : random() % 3);
    }
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t n = std::min<std::size_t>(1 + random() % 60, stream.size() - at);
      session.receive(stream.data() + at, n);
      at += n;
      while (auto turn = session.next_turn()) {
        if (turn->kind == rlay::Turn::Kind::make) turn->reply(spec());
        if (turn->kind == rlay::Turn::Kind::reset) turn->reply(rlay::ResetResult{turn->options});
        if (turn->kind == rlay::Turn::Kind::step) turn->reply(rlay::StepResult{turn->action});
      }
    }
    read(taken(session));
  }
}

void the_poll_form() {
  rlay::Options options;
  options.log = [](const std::string&) {};
  rlay::ServerBackend host(spec(), "tcp://127.0.0.1:0", options);
  EXPECT(!host.error());
  const auto address = rlay::detail::Address::read(host.address());
  rlay::detail::Attempt attempt(*address, rlay::detail::Clock::now());
  std::optional<rlay::Expected<rlay::detail::Socket>> made;
  while (!made) made = attempt.advance(rlay::detail::Clock::now());
  rlay::detail::Socket socket = std::move(**made);
  Agent agent;
  const auto send = [&](const Bytes& bytes) { EXPECT(socket.send(bytes.data(), bytes.size()) > 0); };
  EXPECT(!host.poll());
  send(Agent::hello());
  EXPECT(!host.poll(0.05));
  send(agent.make());
  EXPECT(!host.poll(0.05));
  send(agent.reset());
  const auto reset = host.poll(5);
  EXPECT(reset && reset->kind == rlay::Turn::Kind::reset);
  EXPECT(!host.poll());
  reset->reply(rlay::ResetResult{3});
  send(agent.step());
  const auto step = host.poll(5);
  EXPECT(step && step->kind == rlay::Turn::Kind::step && step->action.to_int() == 1 && step->session == reset->session);
  step->fail(rlay::env_error("ValueError", "no"));
  send({0xff, 0xff, 0xff, 0xff});
  const auto close = host.poll(5);
  EXPECT(close && close->kind == rlay::Turn::Kind::close);
  EXPECT(!host.poll(0.02));
}

void addresses() {
  for (const char* text :
       {"tcp://127.0.0.1", "tcp://:5", "tcp://a:70000", "tcp://a:5?x=y", "unix:///tmp/a", "tls://a:5", "a"}) {
    EXPECT(rlay::ClientBackend(spec(), text).error().code == Code::address);
  }
  EXPECT(rlay::ServerBackend(spec(), "tcp://0.0.0.0:0").error().code == Code::address);
  EXPECT(!rlay::ServerBackend(spec(), "tcp://0.0.0.0:0?insecure_allow_remote=yes").error());
  rlay::Options options;
  options.token = "short";
  EXPECT(rlay::ServerBackend(spec(), "tcp://127.0.0.1:0", options).error().code == Code::usage);
}

}  // namespace

int main() {
  halves();
  numbers_out_of_range();
  texts_in_a_log();
  requests_out_of_turn();
  metadata_that_is_not_declared();
  violations();
  handshakes_with_numbers();
  listeners_of_other_protocols();
  a_malformed_action_ends_the_request_alone();
  resuming();
  a_session_without_a_ticket_ends_with_its_connection();
  turns_outlive_sessions();
  wrong_bytes();
  the_poll_form();
  addresses();
  return failures == 0 ? 0 : 1;
}
