/// \file
/// Holds the env's side of a session without any I/O: bytes in, what the agent asks for out, answers in, bytes out.
///
/// The specification is docs/wire.md; "section" below means one of its sections. Nothing here opens a socket, reads a
/// clock or throws, so that it compiles with -fno-exceptions -fno-rtti and serves an engine with sockets of its own:
///
/// \code
/// rlay::EnvSession session(options);
/// session.connect(nonce);                            // 32 random bytes; the socket has just been connected
/// while (game_runs) {
///   session.receive(data, size);                     // what the socket has received
///   while (auto turn = session.next_turn()) play(*turn);
///   auto chunk = session.output();                   // what the socket is to take ...
///   session.sent(my_send(chunk.data, chunk.size));   // ... and how much of it has gone
/// }
/// \endcode
#ifndef RLAY_CODEC_HPP
#define RLAY_CODEC_HPP

#include <deque>
#include <functional>

#include "wire.hpp"

namespace rlay {

// ---------------------------------------------------------------------------------------------------------------------
// The session (sections 9, 10, 13 and 21)

/// What a host can be told.
struct Options {
  /// The secret that both ends prove to each other; at least eight visible characters. Backends read the environment
  /// variable RLAY_TOKEN if this is empty.
  std::string token{};
  /// Sessions at a time, each with an environment of its own; with more than one, run() has a thread for each.
  std::size_t max_sessions = 1;
  /// The longest frame this side accepts, in bytes; the smaller one of both sides counts.
  std::uint64_t max_frame = limits::frame;
  /// For how many seconds a session whose connection was lost is kept. Without it 30, and a dialer does not wait for an
  /// address at which nothing listens any more.
  std::optional<double> reconnect_timeout{};
  /// Names of the keyword arguments that agents may give; others are refused.
  std::vector<std::string> kwargs{};
  /// Takes the lines of the log. Backends write to the standard error output if it is empty.
  std::function<void(const std::string& line)> log{};
  /// Name and version of this software, for the agent's log; at most 256 bytes.
  std::string name = "rlay-cpp 0.1.0";
};

/// Why options cannot be used, or nothing.
inline Error refuse_options(const Options& options) {
  const auto refused = [](std::string why) { return Error{Code::usage, std::move(why), {}, {}}; };
  if (options.max_sessions == 0) return refused("max_sessions is at least 1");
  if (options.max_frame < limits::handshake || options.max_frame > 0xfffffffe) {
    return refused("max_frame is a number of bytes from 65536 to 2^32-2");
  }
  if (options.reconnect_timeout && !(*options.reconnect_timeout >= 0)) {
    return refused("reconnect_timeout is a number of seconds, at least 0");
  }
  for (const std::string& name : options.kwargs) {
    if (name.empty()) return refused("kwargs has a name that is empty");
  }
  return options.token.empty() ? Error() : refuse_token(options.token);
}

class EnvSession;

/// What a host answers to a Turn: the Spec to make, a ResetResult to reset, a StepResult to step, a Value to render (an
/// NdArray of uint8 of shape (height, width, 3) or a text), nothing to close, or an Error to any of them.
using Answer = std::variant<std::monostate, Spec, ResetResult, StepResult, Value, Error>;

/// What an agent asks for. It may be answered at any later time, once; the agent waits.
class Turn {
 public:
  enum class Kind {
    make,    ///< make an environment as `make` says; the poll form answers this by itself
    reset,   ///< begin an episode, with `seed` and `options`
    step,    ///< take `action`
    render,  ///< draw, in the render mode of `make`
    close    ///< the agent has closed the environment or is gone; there is nothing to answer
  };

  Kind kind = Kind::close;
  /// Which session asks; another number for each session of a backend.
  std::uint64_t session = 0;
  Make make{};
  std::optional<Seed> seed{};
  Value options{};  ///< None, or what the agent gave: mostly a Dict
  Value action{};   ///< as the agent sent it: it need not be an element of the action space

  /// Answers. Returns why the answer was of no use, or none: it was answered already, its session has ended, this is
  /// another thread than that which polls; or the answer cannot be sent or is of another kind than was asked for, in
  /// which cases the agent gets the error, too.
  Error reply(Answer answer) const;
  /// Answers with an error; see env_error.
  Error fail(Error error) const { return reply(std::move(error)); }

 private:
  friend class EnvSession;
  std::uint64_t request_ = 0;
  std::shared_ptr<EnvSession*> target_;
};

/// The env's side of one session: bytes in, turns out, answers in, bytes out. The file's top shows how it is used by a
/// side that dials; a side that listens makes it and hands it to Greeting. Not for several threads at once.
///
/// The connection may be lost: needs_connection() says so, and connect(), or Greeting, resumes the session over another
/// one. Turns and answers stay as they are.
class EnvSession {
 public:
  explicit EnvSession(Options options, std::uint64_t id = 0)
      : options_(std::move(options)), id_(id), self_(std::make_shared<EnvSession*>(this)) {}
  EnvSession(const EnvSession&) = delete;
  EnvSession& operator=(const EnvSession&) = delete;
  ~EnvSession() { *self_ = nullptr; }

  /// A connection was dialed: begins its handshake. `nonce` is 32 random bytes, new for each connection.
  void connect(const Bytes32& nonce) {
    if (is_over() || link_ != Link::none) return;
    Hello hello;
    hello.auth = options_.token.empty() ? 0 : 1;
    hello.features = can_resume | (ticket_ ? resumes : 0);
    hello.max_frame = options_.max_frame;
    hello.peer = detail::clean(options_.name, 256);
    hello.nonce = nonce;
    if (ticket_) hello.resumption = {*ticket_, received_};
    open_link(Link::handshake, detail::handshake_frame(Kind::hello, hello));
    hello_ = detail::without_length(prelude_);
    challenge_.clear();
    refusal_ = {};
  }

  /// Takes bytes that the connection has received. If is_over() or needs_connection() afterwards, the connection is to
  /// be closed, once output() is empty.
  void receive(const std::uint8_t* data, std::size_t size) {
    if (is_over() || link_ == Link::none) return;
    input_.receive(data, size);
    read_frames();
  }

  /// The stream has ended, or the connection has failed.
  void connection_lost() {
    if (is_over() || link_ == Link::none) return;
    const Error lost{Code::connection_lost, "the connection was lost", {}, {}};
    if (link_ == Link::handshake) refusal_ = lost;
    link_ = Link::none;
    if (has_begun_ && !ticket_) end(lost);
  }

  struct Chunk {
    const std::uint8_t* data = nullptr;
    std::size_t size = 0;
  };
  /// The bytes that the connection is to take next. Valid until another function of the session is called.
  Chunk output() const {
    if (link_ == Link::none) return {};
    if (offset_ < prelude_.size()) return {prelude_.data() + offset_, prelude_.size() - offset_};
    if (link_ == Link::handshake) return {};
    if (next_ < frames_.size()) return {frames_[next_].data() + offset_, frames_[next_].size() - offset_};
    if (is_over()) return {close_mark + offset_, sizeof close_mark - offset_};
    return {};
  }
  /// Says how many bytes of output() the connection has taken.
  void sent(std::size_t n) {
    const Chunk chunk = output();
    offset_ += n < chunk.size ? n : chunk.size;
    if (n < chunk.size || chunk.size == 0) return;
    if (chunk.data == close_mark + sizeof close_mark - chunk.size) {
      link_ = Link::none;
    } else if (!prelude_.empty()) {
      prelude_.clear();
    } else {
      ++next_;
      forget_sent();
    }
    offset_ = 0;
  }

  /// The next thing the agent asks for, if there is one.
  std::optional<Turn> next_turn() {
    std::optional<Turn> turn = std::move(turn_);
    turn_.reset();
    return turn;
  }

  /// Ends the session from this side; `code` is Code::none for an ordinary end. What is left of output() says so.
  void goodbye(Code code, std::string_view why) {
    if (is_over()) return;
    if (link_ == Link::open) {
      send(Kind::goodbye, 0, Goodbye{static_cast<std::uint32_t>(code), detail::clean(why, limits::text)});
    } else {
      link_ = Link::none;
    }
    end({Code::closed, std::string(why), {}, {}});
  }
  /// Ends the session without a message, as one whose connection has been lost for too long.
  void give_up(Error why) {
    link_ = Link::none;
    end(std::move(why));
  }

  /// Whether the session has ended, for good.
  bool is_over() const { return state_ == State::over; }
  /// Why it is over: Code::closed if the agent has ended it, or this side has.
  const Error& reason() const { return reason_; }
  /// Whether it has no connection, and waits for one.
  bool needs_connection() const { return !is_over() && link_ == Link::none; }
  /// Whether it has a connection whose handshake is not over.
  bool is_in_handshake() const { return link_ == Link::handshake; }
  /// Why the last connection was not admitted, if so.
  const Error& refusal() const { return refusal_; }
  /// Whether a connection was ever admitted.
  bool has_begun() const { return has_begun_; }
  /// Whether the agent has asked for an environment.
  bool has_asked() const { return has_asked_; }
  /// Whether a frame has arrived over the connection that it has, or had last.
  bool has_progressed() const { return has_progressed_; }
  /// Whether more input is wanted; false while the agent takes no output, so that answers cannot pile up.
  bool wants_input() const { return !is_over() && (frames_.size() - next_ < 64 || link_ != Link::open); }
  /// Name and version of the agent's software.
  const std::string& peer() const { return peer_; }
  std::uint64_t id() const { return id_; }
  /// Says why the calling code cannot answer, or nothing if it can.
  std::function<Error()> refuse_answer{};
  /// Called after each answer, so that output() can go out at once.
  std::function<void()> on_answer{};
  std::uint64_t steps() const { return steps_; }
  std::uint64_t episodes() const { return episodes_; }
  const std::optional<Bytes32>& ticket() const { return ticket_; }

 private:
  friend class Turn;
  friend class Greeting;

  enum class State { no_env, making, open, closing, closed, over };
  enum class Link { none, handshake, open };

  static constexpr std::uint8_t close_mark[4] = {0xff, 0xff, 0xff, 0xff};

  // Connections

  void open_link(Link link, Bytes prelude) {
    link_ = link;
    prelude_ = std::move(prelude);
    offset_ = 0;
    input_ = FrameReader();
    has_progressed_ = false;
  }

  void read_frames() {
    FrameReader::Frame frame;
    for (;;) {
      if (is_over() || link_ == Link::none) return;
      switch (input_.next(link_ == Link::handshake ? limits::handshake : max_frame_, frame)) {
        case FrameReader::Found::nothing: return;
        case FrameReader::Found::frame:
          if (link_ == Link::handshake) {
            read_handshake(frame);
          } else {
            read_frame(frame);
          }
          break;
        case FrameReader::Found::close_mark:
          if (link_ == Link::handshake) {
            connection_lost();
          } else {
            end({Code::closed, "the agent closed the connection", {}, {}});
          }
          return;
        case FrameReader::Found::too_long:
          if (link_ == Link::handshake) {
            refuse({Code::protocol, "what listens there is no RLay endpoint" + input_.foreign(), {}, {}});
          } else {
            violation("a frame is longer than the limit");
          }
          return;
      }
    }
  }

  void refuse(Error why) {
    refusal_ = std::move(why);
    link_ = Link::none;
    const bool may_pass = refusal_.code == Code::protocol || refusal_.code == Code::busy;
    if (ticket_ && !may_pass) end(refusal_);
  }

  /// The dialer's side of section 9.
  void read_handshake(FrameReader::Frame frame) {
    Reader reader(frame.data, frame.size);
    const Header header = Header::read_of_handshake(reader);
    if (reader.ok() && header.kind == Kind::challenge && !options_.token.empty() && challenge_.empty()) {
      reader.bytes32();
      reader.end();
      if (reader.ok()) {
        challenge_.assign(frame.data, frame.data + frame.size);
        const Bytes proof = detail::handshake_frame(
            Kind::proof, detail::Secret{prove(options_.token, "rlay dialer", hello_, challenge_)});
        prelude_.insert(prelude_.end(), proof.begin(), proof.end());
        return;
      }
    }
    if (reader.ok() && header.kind == Kind::reject) {
      const Reject reject = Reject::read(reader);
      const std::string why = "the agent refused the connection: " + reject.message;
      if (reader.ok()) return refuse(detail::error_of(reject.code, why));
    }
    Welcome welcome;
    if (reader.ok() && header.kind == Kind::welcome) {
      welcome = Welcome::read(reader);
    } else {
      reader.fail("neither Welcome nor Reject");
    }
    if (welcome.wire != 0) reader.fail("another wire number than was offered");
    const bool resumed = (welcome.features & resumes) != 0;
    if (resumed != ticket_.has_value()) reader.fail("an answer to another Hello");
    if (!reader.ok()) {
      return refuse({Code::protocol, "what listens there is no RLay endpoint: " + std::string(reader.error()), {}, {}});
    }
    if (!options_.token.empty() &&
        (challenge_.empty() || !welcome.proof ||
         !is_same_secret(*welcome.proof, prove(options_.token, "rlay listener", hello_, challenge_)))) {
      return refuse({Code::unauthorized, "the agent did not prove that it knows the token", {}, {}});
    }
    link_ = Link::open;
    if (resumed) {
      if (!retransmit_after(welcome.received)) link_ = Link::none;
      return;
    }
    peer_ = detail::printable(welcome.peer);
    if ((welcome.features & can_resume) != 0) ticket_ = welcome.ticket;
    begin(welcome.max_frame);
  }

  void begin(std::uint64_t peers_max_frame) {
    has_begun_ = true;
    const std::uint64_t smaller = peers_max_frame < options_.max_frame ? peers_max_frame : options_.max_frame;
    constexpr std::uint64_t most = 0xfffffffe;
    max_frame_ = smaller < limits::handshake ? limits::handshake : smaller < most ? smaller : most;
  }

  /// Over a new connection: sends again what the peer has not received. False if the connection is one that a later one
  /// has overtaken.
  bool retransmit_after(std::uint64_t peers_received) {
    if (peers_received < acknowledged_) return false;
    offset_ = 0;
    if (peers_received > last_sent()) {
      next_ = frames_.size();
      violation("the agent goes on after a frame that was never sent");
    } else if (peers_received + 1 < first_kept_) {
      next_ = frames_.size();
      goodbye(Code::protocol, "more was lost with the connection than was kept");
    } else {
      next_ = static_cast<std::size_t>(peers_received + 1 - first_kept_);
    }
    return true;
  }

  // Frames that go out

  std::uint64_t last_sent() const { return first_kept_ + frames_.size() - 1; }

  void forget_front() {
    kept_bytes_ -= frames_.front().size();
    spare_ = std::move(frames_.front());
    frames_.pop_front();
    ++first_kept_;
    --next_;
  }
  /// Keeps frames that were sent until the peer has acknowledged them, as many as a bound allows.
  void forget_sent() {
    while (next_ > 0 && (!ticket_ || first_kept_ <= acknowledged_ || next_ > 2048 || kept_bytes_ > 2 * max_frame_)) {
      forget_front();
    }
  }

  Bytes begin_frame(Kind kind, std::uint64_t re) {
    Bytes frame = std::move(spare_);
    frame.clear();
    detail::begin_frame(frame, {kind, last_sent() + 1, received_, re});
    return frame;
  }
  void push(Bytes frame) {
    detail::finish_frame(frame);
    kept_bytes_ += frame.size();
    frames_.push_back(std::move(frame));
  }
  template <class Message>
  void send(Kind kind, std::uint64_t re, const Message& message) {
    Bytes frame = begin_frame(kind, re);
    Writer writer(frame);
    message.write(writer);
    push(std::move(frame));
  }
  void send_error(std::uint64_t re, const Error& error, bool is_fatal = false) {
    Fault fault;
    fault.code = static_cast<std::uint32_t>(error.code == Code::none ? Code::env : error.code);
    fault.is_fatal = is_fatal;
    if (error.code == Code::env) fault.type = detail::clean(error.type, limits::text);
    fault.message = detail::clean(error.message, limits::text);
    fault.traceback = detail::clean(error.traceback, limits::text);
    send(Kind::error, re, fault);
  }
  void violation(const std::string& what) {
    const Error error{Code::protocol, "the agent broke the protocol: " + what, {}, {}};
    send_error(0, {Code::protocol, what, {}, {}}, true);
    end(error);
  }

  /// The session is over; what is still to be sent will be.
  void end(Error why) {
    if (is_over()) return;
    const bool has_env = state_ == State::making || state_ == State::open || (state_ == State::closing && turn_);
    state_ = State::over;
    reason_ = std::move(why);
    request_ = 0;
    turn_.reset();
    if (has_env) turn_ = turn(Turn::Kind::close, 0);
  }

  // Frames that arrive

  Turn turn(Turn::Kind kind, std::uint64_t request) {
    Turn turn;
    turn.kind = kind;
    turn.session = id_;
    turn.request_ = request;
    turn.target_ = self_;
    return turn;
  }

  void read_frame(FrameReader::Frame frame) {
    Reader reader(frame.data, frame.size);
    const Header header = Header::read(reader);
    if (!reader.ok()) return violation(reader.error());
    if (header.seq != received_ + 1) return violation("a frame came out of order");
    if (header.ack > last_sent() || header.re > last_sent()) {
      return violation("a frame refers to one that was never sent");
    }
    received_ = header.seq;
    has_progressed_ = true;
    if (header.ack > acknowledged_) acknowledged_ = header.ack;
    forget_sent();
    read_message(header, reader);
    if (!reader.ok() && !is_over()) violation(reader.error());
  }

  void read_message(const Header& header, Reader& reader) {
    switch (header.kind) {
      case Kind::make: {
        Make make = Make::read(reader);
        if (reader.ok()) on_make(header.seq, std::move(make));
        return;
      }
      case Kind::reset: {
        Reset reset = Reset::read(reader);
        if (reader.ok()) on_reset(header.seq, std::move(reset));
        return;
      }
      case Kind::step: {
        const std::vector<std::uint32_t> slots = reader.slots();
        const Payload payload = Payload::read(reader);
        if (reader.ok()) on_step(header.seq, slots, payload, reader);
        return;
      }
      case Kind::render: {
        const std::vector<std::uint32_t> slots = reader.slots();
        reader.end();
        if (reader.ok()) on_render(header.seq, slots);
        return;
      }
      case Kind::attribute: {
        const Attribute attribute = Attribute::read(reader);
        if (!reader.ok() || !claim(header.seq, attribute.slots, true)) return;
        return send_error(header.seq, usage("this environment offers no attributes"));
      }
      case Kind::close: {
        reader.slots();
        reader.end();
        if (reader.ok()) on_close(header.seq);
        return;
      }
      case Kind::goodbye: {
        const Goodbye goodbye = Goodbye::read(reader);
        if (!reader.ok()) return;
        const std::string said = goodbye.message.empty() ? "" : ": " + detail::printable(goodbye.message);
        return end({Code::closed, "the agent said goodbye" + said, {}, {}});
      }
      case Kind::error: {
        const Fault fault = Fault::read(reader);
        if (!fault.is_fatal) reader.fail("an agent answers nothing");
        if (!reader.ok()) return;
        return end(detail::error_of(fault.code, "the agent ended the session: " + fault.message));
      }
      case Kind::step_agents:
      case Kind::result_agents: return send_error(header.seq, usage("this host does not know such a request"));
      default: reader.fail("a message that an agent does not send");
    }
  }

  static Error usage(std::string message) { return {Code::usage, std::move(message), {}, {}}; }

  void ask(Turn turn) {
    request_ = turn.request_;
    asked_ = turn.kind;
    turn_ = std::move(turn);
  }

  void on_make(std::uint64_t request, Make make) {
    if (state_ != State::no_env) return send_error(request, usage("the environment is made already"));
    has_asked_ = true;
    const auto* kwargs = make.kwargs.as<Dict>();
    if (kwargs == nullptr) return send_error(request, usage("the keyword arguments are no dict"));
    for (const Entry& entry : kwargs->entries()) {
      const auto* name = entry.key.as<std::string>();
      bool is_allowed = false;
      for (const std::string& allowed : options_.kwargs) {
        is_allowed = is_allowed || (name != nullptr && *name == allowed);
      }
      if (!is_allowed) {
        const std::string shown = name == nullptr ? "a key that is no text" : "\"" + detail::printable(*name) + "\"";
        return send_error(request, usage("the host allows no keyword argument " + shown));
      }
    }
    state_ = State::making;
    render_mode_ = make.render_mode;
    Turn turn = this->turn(Turn::Kind::make, request);
    turn.make = std::move(make);
    ask(std::move(turn));
  }

  /// Whether a request about these slots may be carried out; else it has been answered.
  bool claim(std::uint64_t request, const std::vector<std::uint32_t>& slots, bool from_idle) {
    Error error;
    if (state_ == State::no_env || state_ == State::making) {
      error = usage("the environment is not made yet; send Make first");
    } else if (state_ != State::open) {
      error = {Code::closed, "the environment is closed", {}, {}};
    } else if (slots.empty()) {
      error = usage("a request for no slot");
    } else if (slots[0] != 0) {
      error = usage("there is no slot " + std::to_string(slots[0]));
    } else if (request_ != 0) {
      error = {Code::busy, "slot 0 still owes an answer", {}, {}};
    } else if (!from_idle && !is_ready_) {
      error = {Code::reset_needed, "Cannot call env.step() before calling env.reset()", {}, {}};
    } else if (slots.size() > 1) {
      error = usage("there is one slot, which a request names once");
    }
    if (error) send_error(request, error);
    return !error;
  }

  void on_reset(std::uint64_t request, Reset reset) {
    std::vector<std::uint32_t> slots;
    for (const auto& row : reset.rows) slots.push_back(row.first);
    if (!claim(request, slots, true)) return;
    Turn turn = this->turn(Turn::Kind::reset, request);
    turn.seed = std::move(reset.rows[0].second);
    turn.options = std::move(reset.options);
    ask(std::move(turn));
  }

  void on_step(std::uint64_t request, const std::vector<std::uint32_t>& slots, Payload payload, Reader reader) {
    if (!claim(request, slots, false)) return;
    std::vector<Value> rows(1);
    payload.read_rows(reader, *action_space_, rows);
    if (!reader.ok()) {
      return send_error(request, {Code::protocol, std::string("the action is malformed: ") + reader.error(), {}, {}});
    }
    Turn turn = this->turn(Turn::Kind::step, request);
    turn.action = std::move(rows[0]);
    ask(std::move(turn));
  }

  void on_render(std::uint64_t request, const std::vector<std::uint32_t>& slots) {
    if (!claim(request, slots, true)) return;
    if (!render_mode_) return send_error(request, usage("the environment was made without a render mode"));
    Turn turn = this->turn(Turn::Kind::render, request);
    turn.make.render_mode = render_mode_;
    ask(std::move(turn));
  }

  void on_close(std::uint64_t request) {
    const bool is_busy = state_ == State::open && request_ != 0;
    if (is_busy) return send_error(request, {Code::busy, "slot 0 still owes an answer; close after it", {}, {}});
    if (!claim(request, {0}, true)) return;
    state_ = State::closing;
    ask(turn(Turn::Kind::close, request));
  }

  // Answers

  Error answer(std::uint64_t request, Answer answer) {
    if (refuse_answer) {
      if (Error refused = refuse_answer()) return refused;
    }
    if (is_over()) return {Code::closed, "the session of this turn has ended", {}, {}};
    if (request == 0 || request != request_) return usage("this turn was answered already; poll for the next one");
    request_ = 0;
    Error error = write_answer(request, std::move(answer));
    if (on_answer) on_answer();
    return error;
  }

  /// Returns the error that the agent gets in place of the answer, if so.
  Error write_answer(std::uint64_t request, Answer answer) {
    if (const auto* error = std::get_if<Error>(&answer)) {
      if (asked_ == Turn::Kind::make) state_ = State::no_env;
      if (asked_ == Turn::Kind::close) state_ = State::closed;
      send_error(request, *error);
      return {};
    }
    Bytes frame;
    Writer writer(frame);
    bool is_answered = true;
    if (auto* spec = std::get_if<Spec>(&answer); spec != nullptr && asked_ == Turn::Kind::make) {
      frame = begin_frame(Kind::spec, request);
      write_spec(writer, *spec);
    } else if (auto* reset = std::get_if<ResetResult>(&answer); reset != nullptr && asked_ == Turn::Kind::reset) {
      frame = begin_frame(Kind::result, request);
      write_result(writer, 1, 0.0, reset->info, reset->observation);
    } else if (auto* step = std::get_if<StepResult>(&answer); step != nullptr && asked_ == Turn::Kind::step) {
      frame = begin_frame(Kind::result, request);
      const int flags = (step->terminated ? 2 : 0) | (step->truncated ? 4 : 0);
      write_result(writer, static_cast<std::uint8_t>(flags), step->reward, step->info, step->observation);
    } else if (auto* drawn = std::get_if<Value>(&answer); drawn != nullptr && asked_ == Turn::Kind::render) {
      frame = begin_frame(Kind::frames, request);
      writer.u64(1);
      writer.u32(0);
      writer.value(*drawn);
    } else if (asked_ == Turn::Kind::close) {
      frame = begin_frame(Kind::closed, request);
      writer.u64(0);
      state_ = State::closed;
    } else {
      is_answered = false;
    }
    Error error;
    if (!is_answered) {
      error = {Code::env, "the host answered another question than the agent asked", "TypeError", {}};
    } else if (!writer.ok()) {
      const std::string why = std::string("what the environment returned cannot be sent: ") + writer.error();
      error = {Code::env, why, "ValueError", {}};
    } else if (frame.size() - 4 > max_frame_) {
      error = usage("the answer takes " + std::to_string(frame.size() - 4) + " bytes, and the longest frame has " +
                    std::to_string(max_frame_) + "; raise max_frame at both ends");
    }
    if (asked_ == Turn::Kind::make) state_ = error ? State::no_env : State::open;
    if (error) {
      send_error(request, error);
      return error;
    }
    if (asked_ == Turn::Kind::make) {
      observation_space_ = std::move(std::get_if<Spec>(&answer)->observation_space);
      action_space_ = std::move(std::get_if<Spec>(&answer)->action_space);
    }
    if (asked_ == Turn::Kind::reset) is_ready_ = true;
    if (asked_ == Turn::Kind::reset) ++episodes_;
    if (asked_ == Turn::Kind::step) ++steps_;
    push(std::move(frame));
    return {};
  }

  void write_spec(Writer& writer, const Spec& spec) const {
    writer.text(detail::clean(spec.env_id, 1024));
    for (const Space* space : {&spec.observation_space, &spec.action_space}) {
      writer.space(*space);
      if (const char* why = detail::refuse_space(*space)) writer.fail(why);
    }
    writer.u32(1);
    writer.u8(0);
    writer.optional_text(render_mode_);
    writer.value(spec.metadata.size() > 0 ? spec.metadata : Dict{{"render_modes", List{}}});
    writer.value(spec.details);
    writer.u64(0);
  }

  void write_result(Writer& writer, std::uint8_t flags, double reward, const Dict& info,
                    const Value& observation) const {
    writer.u64(1);
    writer.u32(0);
    writer.u8(flags);
    writer.number(reward);
    writer.value(info);
    constexpr std::size_t behind_length = 4;
    Payload::write(writer, behind_length, *observation_space_, {&observation});
  }

  Options options_;
  std::uint64_t id_;
  std::shared_ptr<EnvSession*> self_;

  State state_ = State::no_env;
  Error reason_;
  Link link_ = Link::none;
  Error refusal_;
  bool has_begun_ = false;
  bool has_asked_ = false;
  bool has_progressed_ = false;
  std::uint64_t max_frame_ = limits::handshake;
  std::string peer_;
  std::optional<Bytes32> ticket_;

  FrameReader input_;
  std::uint64_t received_ = 0;
  Bytes hello_;      ///< frames that a proof is about
  Bytes challenge_;

  Bytes prelude_;             ///< frames of the handshake, which precede all others
  std::deque<Bytes> frames_;  ///< frames that were not acknowledged or not sent, each with its length before it
  std::size_t next_ = 0;      ///< which of these is to be sent next
  std::size_t offset_ = 0;    ///< how much of what is being sent was sent
  std::uint64_t first_kept_ = 1;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t kept_bytes_ = 0;
  Bytes spare_;

  std::optional<Space> observation_space_;
  std::optional<Space> action_space_;
  std::optional<std::string> render_mode_;
  bool is_ready_ = false;      ///< whether the environment was reset
  std::uint64_t request_ = 0;  ///< the request that has to be answered, or 0
  Turn::Kind asked_ = Turn::Kind::make;
  std::optional<Turn> turn_;  ///< what next_turn gives
  std::uint64_t steps_ = 0;
  std::uint64_t episodes_ = 0;
};

inline Error Turn::reply(Answer answer) const {
  if (target_ != nullptr && *target_ != nullptr) return (*target_)->answer(request_, std::move(answer));
  return {Code::closed, "the backend of this turn is gone", {}, {}};
}

/// The listener's side of one connection's handshake: bytes in, bytes out, until state() is no longer `reading`. Then
/// the side that listens calls one of admit, resume and refuse. It has 5 seconds for all of it, by its own clock.
class Greeting {
 public:
  enum class State {
    reading,  ///< not enough has arrived
    asks,     ///< the dialer may be admitted, or resumes a session if resumption() says so
    refused   ///< the connection is to be closed once output() is empty
  };

  /// `nonce` is 32 random bytes, new for each connection.
  Greeting(Options options, const Bytes32& nonce) : options_(std::move(options)), nonce_(nonce) {}

  void receive(const std::uint8_t* data, std::size_t size) {
    if (state_ != State::reading) return;
    input_.receive(data, size);
    FrameReader::Frame frame;
    switch (input_.next(limits::handshake, frame)) {
      case FrameReader::Found::nothing: break;
      case FrameReader::Found::frame: read(frame); break;
      default: state_ = State::refused;
    }
  }
  EnvSession::Chunk output() const { return {output_.data(), output_.size()}; }
  void sent(std::size_t n) { output_.erase(output_.begin(), output_.begin() + static_cast<std::ptrdiff_t>(n)); }
  State state() const { return state_; }
  /// The session that the dialer wants to resume, if so.
  std::optional<Resumption> resumption() const {
    if ((hello_.features & resumes) == 0) return std::nullopt;
    return hello_.resumption;
  }

  /// Admits the dialer to a new session, which owns the connection from then on. `ticket` is 32 random bytes.
  void admit(EnvSession& session, const Bytes32& ticket) {
    Welcome welcome = this->welcome();
    welcome.features = hello_.features & can_resume;
    welcome.ticket = ticket;
    session.open_link(EnvSession::Link::open, detail::handshake_frame(Kind::welcome, welcome));
    session.peer_ = detail::printable(hello_.peer);
    if (welcome.features != 0) session.ticket_ = ticket;
    session.begin(hello_.max_frame);
    hand_over(session);
  }
  /// Gives a session, which is not over, this connection in place of the one that it has, or had. False if a later
  /// connection has overtaken this one, which is to be closed then.
  bool resume(EnvSession& session) {
    if (hello_.resumption.received < session.acknowledged_) return false;
    Welcome welcome = this->welcome();
    welcome.features = resumes;
    welcome.received = session.received_;
    session.open_link(EnvSession::Link::open, detail::handshake_frame(Kind::welcome, welcome));
    session.retransmit_after(hello_.resumption.received);
    hand_over(session);
    return true;
  }
  /// Refuses the dialer.
  void refuse(Code code, std::string message) {
    const Bytes frame =
        detail::handshake_frame(Kind::reject, Reject{static_cast<std::uint32_t>(code), 0, 0, std::move(message)});
    output_.insert(output_.end(), frame.begin(), frame.end());
    state_ = State::refused;
  }

 private:
  Welcome welcome() const {
    Welcome welcome;
    welcome.max_frame = options_.max_frame;
    welcome.peer = detail::clean(options_.name, 256);
    if (!challenge_frame_.empty()) {
      welcome.proof = prove(options_.token, "rlay listener", hello_frame_, challenge_frame_);
    }
    return welcome;
  }
  void hand_over(EnvSession& session) {
    session.input_ = std::move(input_);
    session.read_frames();
  }

  void read(FrameReader::Frame frame) {
    Reader reader(frame.data, frame.size);
    const Header header = Header::read_of_handshake(reader);
    if (header.kind == Kind::hello && hello_frame_.empty()) {
      read_hello(frame, reader);
    } else if (header.kind == Kind::proof && !challenge_frame_.empty()) {
      const Bytes32 proof = reader.bytes32();
      reader.end();
      if (reader.ok()) {
        if (is_same_secret(proof, prove(options_.token, "rlay dialer", hello_frame_, challenge_frame_))) {
          state_ = State::asks;
        } else {
          refuse(Code::unauthorized, "the token is another one");
        }
      }
    } else {
      reader.fail("no message of a dialer's handshake");
    }
    // No RLay endpoint: it gets no answer.
    if (!reader.ok()) state_ = State::refused;
  }

  void read_hello(FrameReader::Frame frame, Reader& reader) {
    hello_frame_.assign(frame.data, frame.data + frame.size);
    hello_ = Hello::read_start(reader);
    if (!reader.ok()) return;
    if (hello_.wire_min > 0) return refuse(Code::incompatible, "this side speaks wire number 0");
    if (hello_.role != 0) return refuse(Code::incompatible, "both sides are environments; an agent has to dial");
    if (hello_.auth > 1) return refuse(Code::incompatible, "an unknown kind of authentication");
    hello_.read_rest(reader);
    if (!reader.ok()) return;
    if (options_.token.empty() != (hello_.auth == 0)) {
      return refuse(Code::unauthorized, options_.token.empty() ? "this side has no token" : "a token is needed");
    }
    if (options_.token.empty()) {
      state_ = State::asks;
      return;
    }
    output_ = detail::handshake_frame(Kind::challenge, detail::Secret{nonce_});
    challenge_frame_ = detail::without_length(output_);
  }

  Options options_;
  Bytes32 nonce_;
  State state_ = State::reading;
  FrameReader input_;
  Bytes output_;
  Hello hello_;
  Bytes hello_frame_;
  Bytes challenge_frame_;
};

}  // namespace rlay

#endif
