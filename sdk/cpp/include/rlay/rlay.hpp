/// \file
/// Hosts environments for RLay's agents over TCP: ClientBackend dials them, ServerBackend listens for them.
///
/// \code
/// #include <rlay/rlay.hpp>
///
/// struct Coin : rlay::Env {
///   std::int64_t side = 0;
///   rlay::Space observation_space() const override { return rlay::spaces::Discrete(2); }
///   rlay::Space action_space() const override { return rlay::spaces::Discrete(2); }
///   rlay::Expected<rlay::ResetResult> reset(const std::optional<rlay::Seed>& seed, const rlay::Value&) override {
///     if (seed) side = static_cast<std::int64_t>(seed->low64() % 2);
///     return rlay::ResetResult{side};
///   }
///   rlay::Expected<rlay::StepResult> step(const rlay::Value& action) override {
///     return rlay::StepResult{side, action.to_int() == side ? 1.0 : 0.0, true};
///   }
/// };
///
/// int main() {
///   rlay::ServerBackend host([](const rlay::Make&) { return std::make_unique<Coin>(); }, "tcp://127.0.0.1:5005");
///   return host.run() ? 1 : 0;
/// }
/// \endcode
///
/// Nothing here throws. An environment may: what it throws becomes the agent's rlay.EnvError. Programs that are built
/// with -fno-exceptions return errors instead. Sockets are those of POSIX or Winsock (link ws2_32).
#ifndef RLAY_RLAY_HPP
#define RLAY_RLAY_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "codec.hpp"

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#endif

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define RLAY_HAS_EXCEPTIONS 1
#include <exception>
#if defined(__GXX_RTTI) || defined(_CPPRTTI)
#define RLAY_HAS_RTTI 1
#include <typeinfo>
#if defined(__GNUC__)
#include <cxxabi.h>
#endif
#endif
#endif

namespace rlay {

/// An environment. One thread makes, steps and closes it. Any of these functions may throw, or return an Error such as
/// `env_error("ValueError", "an action from 0 to 2")`: the agent gets it, and the session goes on.
class Env {
 public:
  Env() = default;
  Env(const Env&) = delete;
  Env& operator=(const Env&) = delete;
  virtual ~Env() = default;

  /// The spaces are asked for once, after the environment was made.
  virtual Space observation_space() const = 0;
  virtual Space action_space() const = 0;
  /// Gymnasium's `metadata`, such as `{{"render_modes", List{{"rgb_array"}}}, {"render_fps", 25}}`. An empty one stands
  /// for Gymnasium's default, `{{"render_modes", List{}}}`.
  virtual Dict metadata() const { return {}; }
  /// `reward_threshold`, `nondeterministic`, `max_episode_steps`, as far as they are set.
  virtual Dict details() const { return {}; }
  /// Begins an episode. Without a seed the random generator goes on as it is. `options` is None or a Dict. An
  /// observation is best an element of the space, such as an NdArray of its dtype and shape, or an int for a Discrete.
  virtual Expected<ResetResult> reset(const std::optional<Seed>& seed, const Value& options) = 0;
  /// Takes an action, as the agent sent it: check it as any input.
  virtual Expected<StepResult> step(const Value& action) = 0;
  /// Draws in the render mode of the Make: an NdArray of uint8 of shape (height, width, 3) for `rgb_array`, a text for
  /// `ansi`.
  virtual Expected<Value> render() { return env_error("NotImplementedError", "this environment draws nothing"); }
  /// Called once, before the environment is destroyed.
  virtual void close() {}
};

/// Makes the environment that an agent asks for, or says why not.
using MakeEnv = std::function<Expected<std::unique_ptr<Env>>(const Make&)>;

namespace detail {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using Milliseconds = std::chrono::milliseconds;

constexpr Milliseconds handshake_time{5000};
/// How long a poll waits for a handshake, where the one before was longer ago.
constexpr Milliseconds greeting_time{100};
constexpr Milliseconds closing_time{1000};  ///< for what is sent at the end
constexpr Milliseconds stuck_time{60000};   ///< how long a peer may take nothing of what there is for it
constexpr Milliseconds slice{100};          ///< the longest wait that nothing interrupts

inline Error failure(Code code, std::string message) { return {code, std::move(message), {}, {}}; }

/// A time that a caller gives in seconds, which may be any double; at most some 30 years.
inline Milliseconds milliseconds(double seconds) {
  const double bounded = seconds > 0 ? (seconds < 1e9 ? seconds : 1e9) : 0;
  return Milliseconds(static_cast<std::int64_t>(bounded * 1000));
}

/// 32 bytes that cannot be guessed.
inline Bytes32 random_bytes() {
  Bytes32 bytes{};
#ifndef _WIN32
  if (std::FILE* file = std::fopen("/dev/urandom", "rb")) {
    const std::size_t n = std::fread(bytes.data(), 1, bytes.size(), file);
    std::fclose(file);
    if (n == bytes.size()) return bytes;
  }
#endif
  std::random_device device;
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(device());
  return bytes;
}

// ---------------------------------------------------------------------------------------------------------------------
// Addresses and sockets

struct Address {
  std::string host;
  std::string port;
  bool allows_remote = false;

  /// Reads `tcp://host:port` or `tcp://[::1]:port`.
  static Expected<Address> read(std::string_view text) {
    const auto refused = [text](const std::string& why) {
      return failure(Code::address, "\"" + printable(text) + "\" is no address for this client: " + why);
    };
    const std::size_t colon = text.find("://");
    if (colon == std::string_view::npos) return refused("it has the form tcp://127.0.0.1:5005");
    const std::string_view scheme = text.substr(0, colon);
    if (scheme == "tls" || scheme == "quic") {
      return refused("the C++ client speaks TCP alone; use tcp://host:port at both ends, with a token, "
                     "in a tunnel if others listen in");
    }
    if (scheme != "tcp") return refused("the C++ client speaks TCP alone; use tcp://host:port at both ends");
    std::string_view rest = text.substr(colon + 3);
    Address address;
    if (const std::size_t query = rest.find('?'); query != std::string_view::npos) {
      if (rest.substr(query) != "?insecure_allow_remote=yes") {
        return refused("the option it knows is insecure_allow_remote=yes");
      }
      address.allows_remote = true;
      rest = rest.substr(0, query);
    }
    const std::size_t last = rest.rfind(':');
    if (last == std::string_view::npos || last == 0) {
      return refused("host and port are missing, as in tcp://127.0.0.1:5005");
    }
    address.host = rest.substr(0, last);
    address.port = rest.substr(last + 1);
    if (address.host.front() == '[' && address.host.back() == ']') {
      address.host = address.host.substr(1, address.host.size() - 2);
    } else if (address.host.find(':') != std::string::npos) {
      return refused("an IPv6 address stands in brackets, as in tcp://[::1]:5005");
    }
    if (address.host.empty()) return refused("the host is missing, as in tcp://127.0.0.1:5005");
    unsigned port = 0;
    for (const char c : address.port) {
      port = c >= '0' && c <= '9' && port < 65536 ? port * 10 + static_cast<unsigned>(c - '0') : 65536;
    }
    if (address.port.empty() || port > 65535) return refused("its port is no number from 0 to 65535");
    return address;
  }
  std::string text(unsigned real_port) const {
    const std::string shown = host.find(':') == std::string::npos ? host : "[" + host + "]";
    return "tcp://" + shown + ":" + std::to_string(real_port);
  }
};

/// Where a socket connects to or listens at.
struct Place {
  sockaddr_storage storage{};
  socklen_t size = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  bool is_loopback() const {
    if (storage.ss_family == AF_INET) {
      sockaddr_in v4{};
      std::memcpy(&v4, &storage, sizeof v4);
      return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    }
    sockaddr_in6 v6{};
    std::memcpy(&v6, &storage, sizeof v6);
    static constexpr std::uint8_t loopback[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    return std::memcmp(&v6.sin6_addr, loopback, 16) == 0;
  }
};
using Places = std::vector<Place>;

#ifdef _WIN32
using Handle = SOCKET;
using PollEntry = WSAPOLLFD;
constexpr Handle no_handle = INVALID_SOCKET;
/// Starts Winsock, once in a program.
inline void start_sockets() {
  static const int started = [] {
    WSADATA data;
    return WSAStartup(MAKEWORD(2, 2), &data);
  }();
  static_cast<void>(started);
}
inline int last_socket_error() { return WSAGetLastError(); }
inline bool is_not_yet(int error) { return error == WSAEWOULDBLOCK || error == WSAEINPROGRESS; }
inline std::string socket_error_text(int error) { return "Winsock error " + std::to_string(error); }
constexpr int refused_code = WSAECONNREFUSED;
#else
using Handle = int;
using PollEntry = pollfd;
constexpr Handle no_handle = -1;
inline void start_sockets() {}
inline int last_socket_error() { return errno; }
inline bool is_not_yet(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINPROGRESS || error == EINTR;
}
inline std::string socket_error_text(int error) { return std::strerror(error); }
constexpr int refused_code = ECONNREFUSED;
#endif

/// A TCP socket that never blocks.
class Socket {
 public:
  explicit Socket(Handle handle = no_handle) : handle_(handle) {}
  Socket(Socket&& other) noexcept : handle_(std::exchange(other.handle_, no_handle)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Socket() {
    if (handle_ == no_handle) return;
#ifdef _WIN32
    ::closesocket(handle_);
#else
    ::close(handle_);
#endif
  }

  static Socket open(const Place& place) {
    Socket socket(::socket(place.get()->sa_family, SOCK_STREAM, IPPROTO_TCP));
    if (socket.is_open()) socket.set_up();
    return socket;
  }
  bool is_open() const { return handle_ != no_handle; }
  Handle handle() const { return handle_; }

  static constexpr std::ptrdiff_t not_yet = -1;
  static constexpr std::ptrdiff_t broken = -2;
  /// How many bytes were sent, or `not_yet`, or `broken`.
  std::ptrdiff_t send(const std::uint8_t* data, std::size_t size) {
#ifdef MSG_NOSIGNAL
    constexpr int flags = MSG_NOSIGNAL;
#else
    constexpr int flags = 0;
#endif
    return checked(::send(handle_, as_chars(data), bounded(size), flags));
  }
  /// How many bytes were received, 0 at the end of the stream, or `not_yet`, or `broken`.
  std::ptrdiff_t receive(std::uint8_t* data, std::size_t size) {
    return checked(::recv(handle_, reinterpret_cast<char*>(data), bounded(size), 0));
  }
  /// Tells the peer that nothing follows.
  void finish_sending() { ::shutdown(handle_, 1); }
  /// Ends both directions, and with them the waits for this socket.
  void abandon() { ::shutdown(handle_, 2); }
  /// The error of a connection that is being made; 0 if there is none so far.
  int connect_error() const {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(handle_, SOL_SOCKET, SO_ERROR, reinterpret_cast<char*>(&error), &size);
    return error;
  }
  /// Whether the system has chosen the dialed port, at which nothing listens, as the socket's own.
  bool is_connected_to_itself() const {
    sockaddr_storage own{};
    sockaddr_storage other{};
    socklen_t own_size = sizeof own;
    socklen_t other_size = sizeof other;
    const bool are_known = ::getsockname(handle_, reinterpret_cast<sockaddr*>(&own), &own_size) == 0 &&
                           ::getpeername(handle_, reinterpret_cast<sockaddr*>(&other), &other_size) == 0;
    return are_known && own_size == other_size && std::memcmp(&own, &other, static_cast<std::size_t>(own_size)) == 0;
  }
  /// Has the port free as soon as the socket is closed.
  void reset_when_closed() {
    linger at_once{};
    at_once.l_onoff = 1;
    ::setsockopt(handle_, SOL_SOCKET, SO_LINGER, reinterpret_cast<const char*>(&at_once), sizeof at_once);
  }
  void set(int level, int option, int value) {
    ::setsockopt(handle_, level, option, reinterpret_cast<const char*>(&value), sizeof value);
  }
  void set_up() {
#ifdef _WIN32
    u_long yes = 1;
    ::ioctlsocket(handle_, FIONBIO, &yes);
#else
    ::fcntl(handle_, F_SETFL, ::fcntl(handle_, F_GETFL) | O_NONBLOCK);
    ::fcntl(handle_, F_SETFD, FD_CLOEXEC);
#endif
    set(IPPROTO_TCP, TCP_NODELAY, 1);
    // Notices within 18 seconds that the peer's machine is gone.
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
#if defined(TCP_KEEPIDLE)
    set(IPPROTO_TCP, TCP_KEEPIDLE, 9);
#elif defined(TCP_KEEPALIVE)
    set(IPPROTO_TCP, TCP_KEEPALIVE, 9);
#endif
#if defined(TCP_KEEPINTVL) && defined(TCP_KEEPCNT)
    set(IPPROTO_TCP, TCP_KEEPINTVL, 3);
    set(IPPROTO_TCP, TCP_KEEPCNT, 3);
#endif
#if defined(TCP_USER_TIMEOUT)
    set(IPPROTO_TCP, TCP_USER_TIMEOUT, 18000);
#endif
#if defined(SO_NOSIGPIPE)
    set(SOL_SOCKET, SO_NOSIGPIPE, 1);
#endif
  }

 private:
  template <class N>
  static std::ptrdiff_t checked(N n) {
    if (n >= 0) return static_cast<std::ptrdiff_t>(n);
    return is_not_yet(last_socket_error()) ? not_yet : broken;
  }
  static const char* as_chars(const std::uint8_t* data) { return reinterpret_cast<const char*>(data); }
#ifdef _WIN32
  static int bounded(std::size_t size) { return size < (1U << 30) ? static_cast<int>(size) : 1 << 30; }
#else
  static std::size_t bounded(std::size_t size) { return size; }
#endif

  Handle handle_;
};

/// Sockets that are waited for.
class Waiting {
 public:
  void add(Handle handle, bool reads, bool writes) {
    PollEntry entry{};
    entry.fd = handle;
    entry.events = static_cast<short>((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
    entries_.push_back(entry);
  }
  /// Waits until one of them is ready, for `most` at the longest.
  void wait(Milliseconds most) {
    const auto ms = static_cast<int>(most.count() < 0 ? 0 : most.count());
    if (entries_.empty()) return std::this_thread::sleep_for(Milliseconds(ms));
#ifdef _WIN32
    ::WSAPoll(entries_.data(), static_cast<ULONG>(entries_.size()), ms);
#else
    ::poll(entries_.data(), static_cast<nfds_t>(entries_.size()), ms);
#endif
    entries_.clear();
  }

 private:
  std::vector<PollEntry> entries_;
};

/// Looks an address up. With `is_numeric` only one that is no name, which never takes time.
inline Expected<Places> look_up(const Address& address, bool listens, bool is_numeric) {
  start_sockets();
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = (listens ? AI_PASSIVE : 0) | (is_numeric ? AI_NUMERICHOST : 0);
  addrinfo* found = nullptr;
  if (::getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found) != 0) {
    return failure(Code::connection_lost, "there is no host named \"" + printable(address.host) + "\"");
  }
  Places places;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    Place place;
    if (one->ai_addrlen > sizeof place.storage) continue;
    std::memcpy(&place.storage, one->ai_addr, one->ai_addrlen);
    place.size = static_cast<socklen_t>(one->ai_addrlen);
    places.push_back(place);
  }
  ::freeaddrinfo(found);
  return places;
}

/// The pauses between attempts: 20 ms that double up to a second.
class Backoff {
 public:
  Milliseconds next() {
    const Milliseconds pause = next_;
    next_ = next_ * 2 < Milliseconds(1000) ? next_ * 2 : Milliseconds(1000);
    return pause;
  }
  void reset() { next_ = Milliseconds(20); }

 private:
  Milliseconds next_{20};
};

/// One attempt to connect, which never blocks.
class Attempt {
 public:
  Attempt(const Address& address, Time now) : began_(now) {
    Expected<Places> places = look_up(address, false, true);
    if (places) {
      places_ = std::move(*places);
      return;
    }
    std::packaged_task<Expected<Places>()> task([address] { return look_up(address, false, false); });
    looked_up_ = task.get_future();
    std::thread(std::move(task)).detach();
  }

  /// A connected socket, or an error that says that there is none; nothing while it goes on.
  std::optional<Expected<Socket>> advance(Time now) {
    if (now - began_ > handshake_time) return failure(Code::connection_lost, "nothing answered at the address");
    if (looked_up_.valid()) {
      if (looked_up_.wait_for(Milliseconds(0)) != std::future_status::ready) return std::nullopt;
      Expected<Places> places = looked_up_.get();
      if (!places) return std::move(places.error());
      places_ = std::move(*places);
    }
    for (;;) {
      if (socket_.is_open()) {
        int error = socket_.connect_error();
        if (error == 0) {
          PollEntry entry{};
          entry.fd = socket_.handle();
          entry.events = POLLOUT;
#ifdef _WIN32
          const bool is_ready = ::WSAPoll(&entry, 1, 0) > 0;
#else
          const bool is_ready = ::poll(&entry, 1, 0) > 0;
#endif
          if (!is_ready) return std::nullopt;
          error = socket_.connect_error();
          const bool is_good = error == 0 && (entry.revents & (POLLERR | POLLHUP)) == 0;
          if (is_good && !socket_.is_connected_to_itself()) return std::move(socket_);
          if (is_good) {
            socket_.reset_when_closed();
            error = refused_code;
          }
        }
        note(error);
        socket_ = Socket();
      }
      if (tried_ == places_.size()) return std::move(error_);
      const Place& place = places_[tried_++];
      socket_ = Socket::open(place);
      if (!socket_.is_open()) {
        note(last_socket_error());
      } else if (::connect(socket_.handle(), place.get(), place.size) != 0 && !is_not_yet(last_socket_error())) {
        note(last_socket_error());
        socket_ = Socket();
      }
    }
  }
  void add_to(Waiting& waiting) const {
    if (socket_.is_open()) waiting.add(socket_.handle(), false, true);
  }
  Milliseconds longest_wait() const { return socket_.is_open() ? slice : Milliseconds(10); }
  /// Whether the address exists, and nothing listens there.
  bool was_refused() const { return was_refused_; }

 private:
  void note(int error) {
    was_refused_ = error == refused_code;
    error_ = failure(Code::connection_lost, "cannot connect: " + socket_error_text(error));
  }

  Time began_;
  std::future<Expected<Places>> looked_up_;
  Places places_;
  std::size_t tried_ = 0;
  Socket socket_;
  Error error_ = failure(Code::connection_lost, "the host has no address");
  bool was_refused_ = false;
};

// ---------------------------------------------------------------------------------------------------------------------
// A session and its connection

/// What a backend and its sessions share.
struct Shared {
  Options options;
  std::string address;
  std::atomic<bool> is_closing{false};
  std::atomic<std::uint64_t> last_id{0};

  void log(const std::string& text) const {
    const std::string line = address + ": " + text;
#ifdef RLAY_HAS_EXCEPTIONS
    try {
      if (options.log) return options.log(line);
    } catch (...) {
      // A session does not end over a line of the log.
    }
#else
    if (options.log) return options.log(line);
#endif
    std::fputs(("rlay: " + line + "\n").c_str(), stderr);
  }
  Milliseconds reconnect_time() const {
    return milliseconds(options.reconnect_timeout.value_or(30.0));
  }
};

/// One session and its socket. Where an acceptor runs on another thread, `mutex` is locked
/// around every function.
class Link {
 public:
  explicit Link(Shared& shared)
      : session(shared.options, ++shared.last_id), shared_(shared), began_(Clock::now()), inbox_(65536) {}
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  virtual ~Link() = default;

  std::mutex mutex;
  EnvSession session;

  /// Does what is due and moves what can be moved; never blocks.
  virtual void advance(Time now) {
    exchange(now);
    if (session.needs_connection() && now - lost_.value_or(now) > shared_.reconnect_time()) {
      session.give_up(failure(Code::connection_lost, "the connection was lost, and the agent did not come back"));
    }
  }
  /// Moves bytes between the session and its socket.
  void exchange(Time now) {
    if (!socket_) return;
    bool lives = flush();
    for (int reads = 0; lives && session.wants_input() && !session.needs_connection() && reads < 16; ++reads) {
      const std::ptrdiff_t n = socket_->receive(inbox_.data(), inbox_.size());
      if (n == Socket::not_yet) break;
      lives = n > 0;
      if (lives) session.receive(inbox_.data(), static_cast<std::size_t>(n));
      if (n < static_cast<std::ptrdiff_t>(inbox_.size())) break;
    }
    lives = lives && flush();
    if (session.is_over()) return end(now, lives);
    if (!lives) session.connection_lost();
    if (session.needs_connection()) {
      socket_.reset();
      lost_ = now;
    }
  }
  /// Sends what there is; false if the connection is broken, or the peer has taken nothing for too long.
  bool flush() {
    for (;;) {
      const EnvSession::Chunk chunk = session.output();
      if (chunk.size == 0 || !socket_) return true;
      const std::ptrdiff_t n = socket_->send(chunk.data, chunk.size);
      if (n == Socket::not_yet) {
        const Time now = Clock::now();
        if (!stuck_since_) stuck_since_ = now;
        return now - *stuck_since_ < stuck_time;
      }
      stuck_since_.reset();
      if (n < 0) return false;
      session.sent(static_cast<std::size_t>(n));
    }
  }
  /// Takes another connection in place of the one it has.
  void take(Socket socket) {
    if (socket_) socket_->abandon();
    socket_ = std::make_shared<Socket>(std::move(socket));
    stuck_since_.reset();
    lost_.reset();
  }
  /// What there is to wait for. The socket lives as long as the wait does, though another may take its place.
  virtual std::shared_ptr<Socket> add_to(Waiting& waiting) {
    if (socket_) {
      const bool reads = session.wants_input() || session.is_over();
      waiting.add(socket_->handle(), reads, session.output().size > 0);
    }
    return socket_;
  }
  /// How long to wait for that at the longest. Another connection may come from another thread.
  virtual Milliseconds longest_wait(Time) const { return socket_ ? slice : Milliseconds(10); }
  bool is_finished() const { return session.is_over() && !socket_; }
  /// Whether it dials, or its handshake is under way.
  virtual bool is_greeting() const { return false; }
  /// Since when it has no connection.
  std::optional<Time> lost_since() const { return lost_; }
  Time began() const { return began_; }
  /// Why the backend cannot go on, if so.
  const Error& fatal() const { return fatal_; }

 protected:
  Shared& shared_;
  std::shared_ptr<Socket> socket_;
  Error fatal_;

 private:
  /// The session is over. A socket that is closed while bytes of the peer are unread may lose what was sent last.
  void end(Time now, bool lives) {
    if (!ended_) ended_ = now;
    if (lives && session.output().size == 0) {
      if (!has_finished_sending_) socket_->finish_sending();
      has_finished_sending_ = true;
      std::ptrdiff_t n = 1;
      for (int reads = 0; n > 0 && reads < 16; ++reads) n = socket_->receive(inbox_.data(), inbox_.size());
      lives = n > 0 || n == Socket::not_yet;
    }
    if (!lives || now - *ended_ > closing_time) socket_.reset();
  }

  Time began_;
  std::optional<Time> lost_;
  std::optional<Time> ended_;
  std::optional<Time> stuck_since_;  ///< since when the socket takes nothing
  bool has_finished_sending_ = false;
  Bytes inbox_;
};

/// A session that dials.
class DialedLink : public Link {
 public:
  /// `backoff` is that of a session before, if there was one: sessions that come to nothing do not follow each other at
  /// once.
  DialedLink(Shared& shared, const Address& address, const std::optional<Backoff>& backoff)
      : Link(shared), address_(address), backoff_(backoff.value_or(Backoff())), next_attempt_(Clock::now()) {
    const char* launcher = std::getenv("RLAY_ADDRESS");
    ends_with_listener_ = backoff && launcher != nullptr && shared.address == launcher;
    if (backoff) next_attempt_ += backoff_.next();
  }
  const Backoff& backoff() const { return backoff_; }

  void advance(Time now) override {
    const bool had_socket = socket_ != nullptr;
    exchange(now);
    if (session.is_over()) return;
    if (socket_ && session.is_in_handshake() && now - connected_ > handshake_time) {
      session.connection_lost();
      exchange(now);
    }
    if (socket_ && session.has_progressed()) {
      backoff_.reset();
      lost_since_.reset();
    }
    if (had_socket && !socket_) on_loss(now);
    if (session.needs_connection()) dial(now);
  }

  std::shared_ptr<Socket> add_to(Waiting& waiting) override {
    if (attempt_) attempt_->add_to(waiting);
    return Link::add_to(waiting);
  }
  bool is_greeting() const override { return attempt_ || (socket_ && session.is_in_handshake()); }
  Milliseconds longest_wait(Time now) const override {
    if (socket_) return slice;
    if (attempt_) return attempt_->longest_wait();
    const auto left = std::chrono::duration_cast<Milliseconds>(next_attempt_ - now) + Milliseconds(1);
    return left < slice ? left : slice;
  }

 private:
  void on_loss(Time now) {
    if (session.refusal()) return on_failure(session.refusal(), false, now);
    if (!lost_since_) {
      lost_since_ = now;
      shared_.log("the connection was lost; dialing again");
    }
    next_attempt_ = session.has_progressed() ? now : now + backoff_.next();
  }

  void on_failure(const Error& error, bool was_refused, Time now) {
    const bool may_pass = error.code == Code::connection_lost || error.code == Code::busy;
    const bool needs_listener = session.has_begun() ? !shared_.options.reconnect_timeout : ends_with_listener_;
    if (!session.has_begun() && !may_pass) {
      fatal_ = error;
      session.give_up(error);
    } else if (was_refused && needs_listener) {
      const Code code = session.has_begun() ? Code::connection_lost : Code::closed;
      session.give_up(failure(code, "nothing listens there any more"));
      if (!session.has_begun()) fatal_ = session.reason();
    } else {
      if (!session.has_begun() && !is_told_ && now - began() > Milliseconds(1000)) {
        is_told_ = true;
        shared_.log("no agent yet (" + error.message + "); dialing until there is one");
      }
      next_attempt_ = now + backoff_.next();
    }
  }

  void dial(Time now) {
    if (lost_since_ && now - *lost_since_ > shared_.reconnect_time()) {
      return session.give_up(failure(Code::connection_lost, "the connection was lost, and there was no other in time"));
    }
    if (!attempt_ && now < next_attempt_) return;
    if (!attempt_) attempt_.emplace(address_, now);
    std::optional<Expected<Socket>> made = attempt_->advance(now);
    if (!made) return;
    const bool was_refused = attempt_->was_refused();
    attempt_.reset();
    if (!*made) return on_failure(made->error(), was_refused, now);
    take(std::move(**made));
    connected_ = now;
    session.connect(random_bytes());
    flush();
  }

  Address address_;
  Backoff backoff_;
  std::optional<Attempt> attempt_;
  Time next_attempt_;
  Time connected_{};
  std::optional<Time> lost_since_;
  bool ends_with_listener_ = false;
  bool is_told_ = false;
};

// ---------------------------------------------------------------------------------------------------------------------
// An environment and its answers

#ifdef RLAY_HAS_EXCEPTIONS
inline std::string class_name(const std::exception& thrown) {
#if defined(RLAY_HAS_RTTI) && defined(__GNUC__)
  int status = 0;
  const char* mangled = typeid(thrown).name();
  const std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(mangled, nullptr, nullptr, &status), std::free);
  return status == 0 ? name.get() : mangled;
#elif defined(RLAY_HAS_RTTI)
  return typeid(thrown).name();
#else
  static_cast<void>(thrown);
  return "std::exception";
#endif
}
#endif

/// Calls code of the environment; what it throws becomes an Error.
template <class Call>
Answer guarded(Call call) {
#ifdef RLAY_HAS_EXCEPTIONS
  try {
    return call();
  } catch (const std::exception& thrown) {
    return Error{Code::env, thrown.what(), class_name(thrown), {}};
  } catch (...) {
    return Error{Code::env, "the environment has thrown what is no std::exception", "unknown", {}};
  }
#else
  return call();
#endif
}

/// The environment of one session.
class HostedEnv {
 public:
  explicit HostedEnv(const MakeEnv& make) : make_(make) {}
  ~HostedEnv() { close(); }
  HostedEnv(const HostedEnv&) = delete;
  HostedEnv& operator=(const HostedEnv&) = delete;

  Answer answer(const Turn& turn) {
    if (turn.kind == Turn::Kind::close) return close();
    return guarded([&]() -> Answer {
      switch (turn.kind) {
        case Turn::Kind::make: return made(turn.make);
        case Turn::Kind::reset: return either(env_->reset(turn.seed, turn.options));
        case Turn::Kind::step: return either(env_->step(turn.action));
        default: return either(env_->render());
      }
    });
  }

 private:
  template <class T>
  static Answer either(Expected<T> result) {
    if (!result) return std::move(result.error());
    return std::move(*result);
  }
  Answer made(const Make& make) {
    Expected<std::unique_ptr<Env>> env = make_(make);
    if (!env) return std::move(env.error());
    env_ = std::move(*env);
    if (!env_) return env_error("TypeError", "the function that makes environments made none");
    return Spec{env_->observation_space(), env_->action_space(), env_->metadata(), env_->details(),
                make.env_id.value_or("")};
  }
  Answer close() {
    if (!env_) return std::monostate();
    Answer answer = guarded([&]() -> Answer {
      env_->close();
      return std::monostate();
    });
    env_.reset();
    return answer;
  }

  const MakeEnv& make_;
  std::unique_ptr<Env> env_;
};

}  // namespace detail

// ---------------------------------------------------------------------------------------------------------------------
// Backends

/// What ClientBackend and ServerBackend have in common.
class Backend {
 public:
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() {
    for (auto& link : polled_) {
      link->session.goodbye(Code::none, "the host has ended");
      link->exchange(detail::Clock::now());
    }
  }

  /// Serves sessions until close() is called. With one session at a time the environment lives on the calling thread,
  /// else each has a thread of its own. Returns the error that keeps it from going on, such as a token that the other
  /// side refuses, or none.
  Error run() {
    if (error_) return error_;
    if (!make_) {
      return detail::failure(Code::usage, "run() needs a function that makes environments; poll() needs a Spec");
    }
    std::vector<std::thread> threads;
    const std::size_t sessions = shared_.options.max_sessions;
    if (needs_thread()) threads.emplace_back([this] { keep_accepting(); });
    for (std::size_t i = 1; i < sessions; ++i) threads.emplace_back([this] { serve_sessions(); });
    serve_sessions();
    for (std::thread& thread : threads) thread.join();
    fail(refusal_);
    return error_;
  }

  /// The poll form, for a backend that was made with a Spec: what an agent asks for, or nothing yet. Call it once a
  /// frame of an engine's loop; it does not block unless `seconds` says how long to wait, but for a tenth of a second
  /// while hands are shaken in a game that polls less often than that. The answer may take any number of frames, and is
  /// given on the thread that polls. A Turn::Kind::close is the last of its session; it is not answered. See error() if
  /// nothing ever comes.
  std::optional<Turn> poll(double seconds = 0) {
    const detail::Time begin = detail::Clock::now();
    const detail::Time end = begin + detail::milliseconds(seconds);
    // The other end would not wait for a handshake of one message a poll.
    const bool is_seldom = begin - std::exchange(polled_at_, begin) > detail::greeting_time;
    for (;;) {
      const detail::Time now = detail::Clock::now();
      if (std::optional<Turn> turn = poll_once(now)) return turn;
      if (error_) return std::nullopt;
      if (now >= end && !(is_seldom && now < begin + detail::greeting_time && is_greeting())) return std::nullopt;
      detail::Waiting waiting;
      for (auto& link : polled_) link->add_to(waiting);
      add_to(waiting);
      const auto left = std::chrono::duration_cast<detail::Milliseconds>(end - now) + detail::Milliseconds(1);
      waiting.wait(std::clamp(left, detail::Milliseconds(1), detail::Milliseconds(20)));
    }
  }

  /// Ends all sessions: run() returns soon, and agents are told. May be called from any thread, and from a signal
  /// handler.
  void close() { shared_.is_closing = true; }

  /// Where agents are dialed, or dial: with the port that the system has chosen, if it was 0.
  const std::string& address() const { return shared_.address; }

  /// Why the backend cannot serve, or none: an address that cannot be used, or a token that was refused.
  Error error() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return error_;
  }

 protected:
  Backend(MakeEnv make, std::optional<Spec> spec, std::string address, Options options)
      : make_(std::move(make)), spec_(std::move(spec)) {
    if (options.token.empty()) {
      if (const char* token = std::getenv("RLAY_TOKEN")) options.token = token;
    }
    shared_.options = std::move(options);
    shared_.address = std::move(address);
    Expected<detail::Address> read = detail::Address::read(shared_.address);
    if (read) {
      place_ = std::move(*read);
    } else {
      fail(std::move(read.error()));
    }
    fail(refuse_options(shared_.options));
    if (spec_) {
      fail(refuse_space(spec_->observation_space));
      fail(refuse_space(spec_->action_space));
    }
  }

  static Error refuse_space(const Space& space) {
    Bytes bytes;
    Writer writer(bytes);
    writer.space(space);
    const char* why = writer.ok() ? detail::refuse_space(space) : writer.error();
    return why == nullptr ? Error() : detail::failure(Code::usage, "the Spec is refused: " + std::string(why));
  }

  /// The next session to serve, if there is one yet; waits a little for one if it `may_wait`.
  virtual std::shared_ptr<detail::Link> next_link(bool may_wait) = 0;
  /// Takes note that a session has ended.
  virtual void forget(const std::shared_ptr<detail::Link>&) {}
  /// Accepts connections; never blocks.
  virtual void accept(detail::Time) {}
  /// Adds what accept() waits for.
  virtual void add_to(detail::Waiting&) {}
  /// Whether a handshake is under way.
  virtual bool is_greeting() const {
    const auto greets = [](const std::shared_ptr<detail::Link>& link) { return link->is_greeting(); };
    return std::any_of(polled_.begin(), polled_.end(), greets);
  }
  /// Whether accept() has to be called while an environment is busy.
  virtual bool needs_thread() const { return false; }

  /// Keeps the first error, and stops.
  void fail(Error error) {
    if (!error) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!error_) error_ = std::move(error);
    shared_.is_closing = true;
  }

  detail::Shared shared_;
  detail::Address place_;
  mutable std::mutex mutex_;
  Error error_;

 private:
  void keep_accepting() {
    while (!shared_.is_closing) {
      detail::Waiting waiting;
      add_to(waiting);
      waiting.wait(detail::slice);
      accept(detail::Clock::now());
    }
  }

  /// Serves one session after another.
  void serve_sessions() {
    while (!shared_.is_closing && !is_refused_) {
      std::shared_ptr<detail::Link> link = next_link(true);
      if (!link) continue;
      serve(*link);
      ended(*link);
      forget(link);
    }
  }

  void serve(detail::Link& link) {
    detail::HostedEnv env(make_);
    for (;;) {
      std::optional<Turn> turn;
      std::shared_ptr<detail::Socket> waited_for;
      detail::Waiting waiting;
      detail::Milliseconds most{};
      {
        const std::lock_guard<std::mutex> lock(link.mutex);
        const detail::Time now = detail::Clock::now();
        advance(link, now);
        turn = link.session.next_turn();
        if (!turn && link.is_finished()) return;
        if (!turn) waited_for = link.add_to(waiting);
        most = link.longest_wait(now);
      }
      if (!turn) {
        waiting.wait(most);
        continue;
      }
      Answer answer = env.answer(*turn);
      tell(link, *turn, answer);
      const std::lock_guard<std::mutex> lock(link.mutex);
      turn->reply(std::move(answer));
      link.flush();
    }
  }

  std::optional<Turn> poll_once(detail::Time now) {
    if (error_ && polled_.empty()) return std::nullopt;
    if (!spec_) {
      fail(detail::failure(Code::usage, "poll() needs a backend that was made with a Spec"));
      return std::nullopt;
    }
    accept(now);
    while (polled_.size() < shared_.options.max_sessions && !shared_.is_closing && !is_refused_) {
      std::shared_ptr<detail::Link> link = next_link(false);
      if (!link) break;
      link->session.on_answer = [raw = link.get()] { raw->flush(); };
      polled_.push_back(std::move(link));
    }
    for (std::size_t i = 0; i < polled_.size(); ++i) {
      const std::shared_ptr<detail::Link> link = polled_[i];
      link->session.refuse_answer = [polling = std::this_thread::get_id()] {
        if (polling == std::this_thread::get_id()) return Error();
        return detail::failure(Code::usage, "a turn is answered on the thread that polls");
      };
      advance(*link, now);
      while (std::optional<Turn> turn = link->session.next_turn()) {
        // So that the next poll begins with another session.
        std::swap(polled_[i], polled_.back());
        if (turn->kind == Turn::Kind::close) turn->reply(std::monostate());
        if (turn->kind != Turn::Kind::make) return turn;
        Answer answer = described(turn->make);
        tell(*link, *turn, answer);
        turn->reply(std::move(answer));
        advance(*link, now);
      }
      if (link->is_finished()) {
        ended(*link);
        forget(link);
        polled_.erase(std::find(polled_.begin(), polled_.end(), link));
        break;
      }
    }
    if (is_refused_ && polled_.empty()) fail(refusal_);
    return std::nullopt;
  }

  /// The answer of the poll form to Make.
  Answer described(const Make& make) const {
    const Value* modes = spec_->metadata.find("render_modes");
    const auto* list = modes == nullptr ? nullptr : modes->as<List>();
    bool is_offered = !make.render_mode;
    if (list != nullptr && make.render_mode) {
      for (const Value& mode : list->items) is_offered = is_offered || mode == *make.render_mode;
    }
    if (!is_offered) {
      const std::string mode = detail::printable(*make.render_mode);
      return env_error("ValueError", "the environment has no render mode \"" + mode + "\"");
    }
    Spec spec = *spec_;
    if (spec.env_id.empty()) spec.env_id = make.env_id.value_or("");
    return spec;
  }

  void advance(detail::Link& link, detail::Time now) {
    if (shared_.is_closing) link.session.goodbye(Code::none, "the host was closed");
    if (is_refused_ && !link.session.has_begun()) link.session.goodbye(Code::none, "the host dials no more");
    link.advance(now);
  }

  void tell(const detail::Link& link, const Turn& turn, const Answer& answer) const {
    if (turn.kind != Turn::Kind::make) return;
    if (const auto* error = std::get_if<Error>(&answer)) {
      shared_.log("no environment was made for the agent: " + detail::printable(error->message));
    } else {
      shared_.log("an agent joined (" + link.session.peer() + ")");
    }
  }

  void ended(const detail::Link& link) {
    if (link.fatal()) refuse(link.fatal().code == Code::closed ? Error() : link.fatal());
    const EnvSession& session = link.session;
    if (session.has_asked() || (session.has_begun() && session.reason().code != Code::closed)) {
      shared_.log("the agent left after " + std::to_string(session.steps()) + " steps in " +
                  std::to_string(session.episodes()) + " episodes: " + session.reason().message);
    }
  }

  /// Begins no session any more, for to dial again does not help. Those that play go on.
  void refuse(Error why) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!is_refused_) refusal_ = std::move(why);
    is_refused_ = true;
  }

  MakeEnv make_;
  std::optional<Spec> spec_;
  std::vector<std::shared_ptr<detail::Link>> polled_;
  detail::Time polled_at_ = detail::Clock::now();
  std::atomic<bool> is_refused_{false};
  Error refusal_;  ///< if it is one that is reported
};

/// Hosts environments for agents that listen (`rlay.ServerEnv`): dials, again and again until one listens, and anew
/// after each session. In a program that an agent has launched, whose address is in RLAY_ADDRESS, run() returns once
/// the agent has closed the environment.
class ClientBackend : public Backend {
 public:
  /// `make` makes an environment for each agent: `[](const rlay::Make&) { return std::make_unique<Game>(); }`.
  ClientBackend(MakeEnv make, std::string address, Options options = {})
      : Backend(std::move(make), std::nullopt, std::move(address), std::move(options)) {
    refuse_option();
  }
  /// For the poll form.
  ClientBackend(Spec spec, std::string address, Options options = {})
      : Backend({}, std::move(spec), std::move(address), std::move(options)) {
    refuse_option();
  }

 private:
  void refuse_option() {
    if (!place_.allows_remote) return;
    fail(detail::failure(Code::address, "insecure_allow_remote=yes is for the side that listens; leave it out"));
  }
  std::shared_ptr<detail::Link> next_link(bool) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (backoffs_.empty()) return std::make_shared<detail::DialedLink>(shared_, place_, std::nullopt);
    const detail::Backoff backoff = backoffs_.back();
    backoffs_.pop_back();
    return std::make_shared<detail::DialedLink>(shared_, place_, backoff);
  }
  void forget(const std::shared_ptr<detail::Link>& link) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    backoffs_.push_back(static_cast<const detail::DialedLink&>(*link).backoff());
  }

  std::vector<detail::Backoff> backoffs_;  ///< of sessions that have ended
};

/// Hosts environments for agents that dial (`rlay.ClientEnv`): listens, and serves one session after another, or
/// several at a time. An address that other machines can reach needs a token, or `?insecure_allow_remote=yes` at its
/// end.
class ServerBackend : public Backend {
 public:
  /// Binds the address; see error(). With port 0 address() has the one that the system has chosen.
  ServerBackend(MakeEnv make, std::string address, Options options = {})
      : Backend(std::move(make), std::nullopt, std::move(address), std::move(options)) {
    if (!error()) fail(listen());
  }
  /// For the poll form.
  ServerBackend(Spec spec, std::string address, Options options = {})
      : Backend({}, std::move(spec), std::move(address), std::move(options)) {
    if (!error()) fail(listen());
  }

 private:
  /// A connection whose handshake is not over.
  struct Caller {
    detail::Socket socket;
    Greeting greeting;
    detail::Time since;
  };
  /// Beyond these the oldest one ends: an honest handshake takes milliseconds.
  static constexpr std::size_t max_callers = 64;

  Error listen() {
    Expected<detail::Places> places = detail::look_up(place_, true, false);
    if (!places) return std::move(places.error());
    Error error = detail::failure(Code::address, "the host has no address");
    for (const detail::Place& place : *places) {
      if (!place.is_loopback() && !place_.allows_remote && shared_.options.token.empty()) {
        return detail::failure(Code::address, "other machines can reach " + shared_.address +
                                                  ": give a token, or add ?insecure_allow_remote=yes to the address");
      }
      detail::Socket socket = detail::Socket::open(place);
#ifdef _WIN32
      socket.set(SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
#else
      socket.set(SOL_SOCKET, SO_REUSEADDR, 1);
#endif
      if (::bind(socket.handle(), place.get(), place.size) == 0 && ::listen(socket.handle(), 128) == 0) {
        detail::Place bound;
        bound.size = sizeof bound.storage;
        ::getsockname(socket.handle(), reinterpret_cast<sockaddr*>(&bound.storage), &bound.size);
        sockaddr_in v4{};  // its port is where that of IPv6 is, too
        std::memcpy(&v4, &bound.storage, sizeof v4);
        shared_.address = place_.text(ntohs(v4.sin_port));
        listener_ = std::move(socket);
        return {};
      }
      error = detail::failure(Code::address, "cannot listen at " + shared_.address + ": " +
                                                 detail::socket_error_text(detail::last_socket_error()));
    }
    return error;
  }

  std::shared_ptr<detail::Link> next_link(bool may_wait) override {
    std::unique_lock<std::mutex> lock(mutex_);
    if (waiting_links_.empty() && may_wait) has_dialed_in_.wait_for(lock, detail::slice);
    if (waiting_links_.empty()) return nullptr;
    std::shared_ptr<detail::Link> link = std::move(waiting_links_.front());
    waiting_links_.pop_front();
    return link;
  }
  void forget(const std::shared_ptr<detail::Link>& link) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    links_.erase(std::find(links_.begin(), links_.end(), link));
  }
  bool needs_thread() const override { return true; }
  bool is_greeting() const override { return !callers_.empty(); }

  void add_to(detail::Waiting& waiting) override {
    waiting.add(listener_.handle(), true, false);
    for (const Caller& caller : callers_) waiting.add(caller.socket.handle(), true, false);
  }

  void accept(detail::Time now) override {
    if (!listener_.is_open()) return;
    // A caller is not ended before what it has said is read: one call accepts no more than there is room for.
    for (std::size_t i = 0; i < max_callers; ++i) {
      detail::Socket socket(::accept(listener_.handle(), nullptr, nullptr));
      if (!socket.is_open()) {
        // Without descriptors the listener stays ready: do not spin.
        if (!detail::is_not_yet(detail::last_socket_error())) std::this_thread::sleep_for(detail::Milliseconds(5));
        break;
      }
      socket.set_up();
      if (callers_.size() == max_callers) callers_.pop_front();
      callers_.push_back({std::move(socket), Greeting(shared_.options, detail::random_bytes()), now});
    }
    for (auto caller = callers_.begin(); caller != callers_.end();) {
      caller = is_done(*caller, now) ? callers_.erase(caller) : std::next(caller);
    }
  }

  /// Continues a handshake; whether it is over.
  bool is_done(Caller& caller, detail::Time now) {
    std::uint8_t inbox[4096];
    while (caller.greeting.state() == Greeting::State::reading) {
      const std::ptrdiff_t n = caller.socket.receive(inbox, sizeof inbox);
      if (n == detail::Socket::not_yet) break;
      if (n <= 0) return true;
      caller.greeting.receive(inbox, static_cast<std::size_t>(n));
    }
    if (caller.greeting.state() == Greeting::State::asks && admit(caller)) return true;
    const EnvSession::Chunk chunk = caller.greeting.output();
    const std::ptrdiff_t n = chunk.size == 0 ? 0 : caller.socket.send(chunk.data, chunk.size);
    if (n > 0) caller.greeting.sent(static_cast<std::size_t>(n));
    const bool is_said = caller.greeting.state() == Greeting::State::refused && caller.greeting.output().size == 0;
    return is_said || n == detail::Socket::broken || now - caller.since > detail::handshake_time;
  }

  /// Gives the connection to a session, or refuses it. Whether the connection is no longer the caller's.
  bool admit(Caller& caller) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const std::optional<Resumption> resumption = caller.greeting.resumption();
    if (resumption) {
      for (const std::shared_ptr<detail::Link>& link : links_) {
        const std::lock_guard<std::mutex> link_lock(link->mutex);
        if (!link->session.ticket() || !is_same_secret(*link->session.ticket(), resumption->ticket)) continue;
        if (link->session.is_over()) break;
        if (!caller.greeting.resume(link->session)) return true;
        link->take(std::move(caller.socket));
        link->flush();
        return true;
      }
      caller.greeting.refuse(Code::connection_lost, "the session has ended");
      return false;
    }
    if (links_.size() >= shared_.options.max_sessions) {
      make_room();
      caller.greeting.refuse(Code::busy, "there is no room for another session");
      return false;
    }
    auto link = std::make_shared<detail::Link>(shared_);
    caller.greeting.admit(link->session, detail::random_bytes());
    link->take(std::move(caller.socket));
    link->flush();
    links_.push_back(link);
    waiting_links_.push_back(std::move(link));
    has_dialed_in_.notify_one();
    return true;
  }

  /// Ends one session that is not in use: that whose agent has been away the longest, or one that asks for nothing.
  void make_room() {
    const detail::Time now = detail::Clock::now();
    std::shared_ptr<detail::Link> longest;
    std::optional<detail::Time> since;
    for (const std::shared_ptr<detail::Link>& link : links_) {
      const std::lock_guard<std::mutex> lock(link->mutex);
      // What it has asked for may not be read yet.
      if (!link->session.has_asked()) link->exchange(now);
      if (!link->session.has_asked() && now - link->began() > detail::handshake_time) {
        return link->session.goodbye(Code::busy, "no environment was asked for, and another agent waits");
      }
      const std::optional<detail::Time> lost = link->lost_since();
      if (lost && link->session.needs_connection() && (!since || *lost < *since)) {
        since = lost;
        longest = link;
      }
    }
    if (!longest) return;
    const std::lock_guard<std::mutex> lock(longest->mutex);
    if (longest->session.needs_connection()) {
      longest->session.give_up(detail::failure(Code::connection_lost, "the agent was away, and another one came"));
    }
  }

  detail::Socket listener_;
  std::deque<Caller> callers_;  ///< the oldest first
  std::vector<std::shared_ptr<detail::Link>> links_;
  std::deque<std::shared_ptr<detail::Link>> waiting_links_;
  std::condition_variable has_dialed_in_;
};

}  // namespace rlay

#endif
