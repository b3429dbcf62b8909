/// \file
/// Wraps the C ABI of RLay, rlay.h, in C++17: owners that free what they have, and errors that are returned.
///
/// \code
/// #include <rlay_ffi.hpp>
///
/// using namespace rlay::ffi;
///
/// Expected<Env> env = Env::listen("tcp://127.0.0.1:5005", Spec(Space::discrete(2), Space::discrete(2)));
/// while (env) {                                          // once a frame
///   Expected<Turn> turn = env->poll();                   // never blocks
///   if (turn && (turn->kind() == RLAY_TURN_RESET || turn->kind() == RLAY_TURN_STEP)) {
///     ...                                                // play
///     turn->reply({discrete(side), reward, is_over});
///   }
///   ...                                                  // draw
/// }
/// \endcode
///
/// Mostly, a function rlay_x_y of rlay.h is y of the class X here; answers and actions are of Turn. rlay.h says what it
/// does, from which thread it may be called and whether it blocks. The rules of this header:
///
/// - Nothing throws, and all of it compiles with -fno-exceptions and -fno-rtti. What may fail returns an Expected, or
///   an Error, which is true if there is one.
/// - Owners (Value, Space, Spec, Env, Agent, VectorAgent) can be moved, not copied, and free or close what they have.
/// - A Value or Space that cannot be made is false. What is built of it is false, too, or fails: check the last one.
/// - Views (ValueView, SpaceView, SpecView) point into something else, and are valid as long as rlay.h says.
/// - An Env, Agent or VectorAgent belongs to the thread that opened it, and is destroyed there.
///
/// It shares no name with the client of sdk/cpp, so that a program may include both.
#ifndef RLAY_FFI_HPP
#define RLAY_FFI_HPP

#include <rlay.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace rlay::ffi {

// ---------------------------------------------------------------------------------------------------------------------
// Errors: rlay_last_error

/// An error, or none: `if (Error error = turn.reply(result)) report(error.message);`
struct Error {
  rlay_Status code = RLAY_OK;
  std::string message;

  explicit operator bool() const { return code != RLAY_OK; }
};

/// A T, or the Error that says why there is none.
template <class T>
class Expected {
 public:
  Expected(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  Expected(Error error) : content_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return content_.index() == 0; }
  /// The T; only where there is one.
  T& operator*() { return *std::get_if<0>(&content_); }
  const T& operator*() const { return *std::get_if<0>(&content_); }
  T* operator->() { return std::get_if<0>(&content_); }
  const T* operator->() const { return std::get_if<0>(&content_); }
  /// The error; only where there is no T.
  const Error& error() const { return *std::get_if<1>(&content_); }

 private:
  std::variant<T, Error> content_;
};

/// The last error of this thread.
inline Error last_error() {
  std::size_t length = 0;
  rlay_Status code = RLAY_OK;
  const char* text = rlay_last_error(&length, &code);
  return {code, std::string(text, length)};
}

namespace detail {

inline Error error_of(rlay_Status status) { return status == RLAY_OK ? Error() : last_error(); }

template <class T>
Expected<T> expected(rlay_Status status, T value) {
  if (status != RLAY_OK) return last_error();
  return value;
}

/// A text that RLay may have left out.
inline std::optional<std::string_view> text(const char* start, std::size_t length) {
  if (start == nullptr) return std::nullopt;
  return std::string_view(start, length);
}

/// Calls a function that describes something, with a buffer that is long enough.
template <class Describe>
std::string described(Describe describe) {
  std::string text(64, '\0');
  std::size_t length = 0;
  rlay_Status status = describe(text.data(), text.size(), &length);
  if (status == RLAY_SHORT_BUFFER) {
    text.resize(length);
    status = describe(text.data(), text.size(), &length);
  }
  text.resize(status == RLAY_OK ? length : 0);
  return text;
}

/// Makes an owner of a view. It is false if it has nothing, because that could not be made or was given away.
template <class View, class Handle, void (*free_handle)(Handle*)>
class Owned : public View {
 public:
  explicit Owned(Handle* handle) : View(handle) {}
  Owned(Owned&& other) noexcept : View(other.release()) {}
  Owned& operator=(Owned&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~Owned() { reset(nullptr); }

  explicit operator bool() const { return this->handle_ != nullptr; }
  /// Gives the handle away.
  Handle* release() {
    Handle* handle = owned();
    this->handle_ = nullptr;
    return handle;
  }

 protected:
  Handle* owned() { return const_cast<Handle*>(this->handle_); }
  void reset(Handle* handle) {
    free_handle(owned());
    this->handle_ = handle;
  }
  /// Keeps nothing of what lacks a part.
  void keep_if(rlay_Status status) {
    if (status != RLAY_OK) reset(nullptr);
  }
};

}  // namespace detail

// ---------------------------------------------------------------------------------------------------------------------
// Values: rlay_value_...

using Shape = std::vector<std::uint64_t>;

/// The dtype whose elements are of the C++ type T. RLAY_FLOAT16 has no type.
template <class T>
constexpr rlay_DType dtype_of() {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) <= 8, "no dtype has elements of this type");
  if constexpr (std::is_same_v<T, bool>) return RLAY_BOOL;
  if constexpr (std::is_floating_point_v<T>) return sizeof(T) == 4 ? RLAY_FLOAT32 : RLAY_FLOAT64;
  constexpr int rank = sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3;
  return static_cast<rlay_DType>(rank + (std::is_signed_v<T> ? RLAY_INT8 : RLAY_UINT8));
}

class Value;

/// Reads a value that belongs to something else. Without a handle it is None.
class ValueView {
 public:
  ValueView() = default;
  explicit ValueView(const rlay_Value* handle) : handle_(handle) {}

  const rlay_Value* get() const { return handle_; }
  rlay_ValueKind kind() const { return rlay_value_kind(handle_); }
  bool is_none() const { return kind() == RLAY_VALUE_NONE; }
  /// The conversions are empty if the value is of another kind.
  std::optional<bool> to_bool() const { return read(rlay_value_as_bool); }
  std::optional<std::int64_t> to_int() const { return read(rlay_value_as_int); }
  std::optional<double> to_double() const { return read(rlay_value_as_float); }
  std::optional<rlay_Array> to_array() const { return read(rlay_value_as_array); }
  std::optional<std::string_view> to_text() const {
    const char* start = nullptr;
    std::size_t length = 0;
    if (rlay_value_as_str(handle_, &start, &length) != RLAY_OK) return std::nullopt;
    return std::string_view(start, length);
  }
  /// The bytes of a bytes, or of an int beyond 64 bits, in a string view.
  std::optional<std::string_view> to_bytes() const {
    const std::uint8_t* start = nullptr;
    std::size_t length = 0;
    if (rlay_value_as_bytes(handle_, &start, &length) != RLAY_OK) return std::nullopt;
    return std::string_view(reinterpret_cast<const char*>(start), length);
  }
  /// Items of a list, tuple or dict, or the three parts of a graph.
  std::size_t count() const { return rlay_value_count(handle_); }
  std::optional<ValueView> item(std::size_t index) const {
    const rlay_Value* found = nullptr;
    if (rlay_value_item(handle_, index, &found) != RLAY_OK) return std::nullopt;
    return ValueView(found);
  }
  /// A key of a dict and its item, in the order of insertion.
  std::optional<std::pair<ValueView, ValueView>> entry(std::size_t index) const {
    const rlay_Value* key = nullptr;
    const rlay_Value* item = nullptr;
    if (rlay_value_entry(handle_, index, &key, &item) != RLAY_OK) return std::nullopt;
    return std::pair(ValueView(key), ValueView(item));
  }
  /// The item of a dict under a text.
  std::optional<ValueView> get(std::string_view key) const {
    const rlay_Value* found = nullptr;
    if (rlay_value_get(handle_, key.data(), key.size(), &found) != RLAY_OK) return std::nullopt;
    return ValueView(found);
  }
  Value clone() const;
  /// As Python prints it.
  std::string describe() const {
    return detail::described([this](char* to, std::size_t size, std::size_t* length) {
      return rlay_value_describe(handle_, to, size, length);
    });
  }

 protected:
  const rlay_Value* handle_ = nullptr;

 private:
  template <class T>
  std::optional<T> read(rlay_Status (*convert)(const rlay_Value*, T*)) const {
    T x{};
    if (convert(handle_, &x) != RLAY_OK) return std::nullopt;
    return x;
  }
};

/// Owns a value. Numbers, bools, texts and nullptr, for None, convert to it:
/// `Value::dict().set("lives", 3).set("name", "Ada")`.
class Value : public detail::Owned<ValueView, rlay_Value, rlay_value_free> {
 public:
  explicit Value(rlay_Value* handle) : Owned(handle) {}
  Value(std::nullptr_t) : Owned(rlay_value_none()) {}
  template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
  Value(T x) : Owned(of_number(x)) {}
  Value(std::string_view x) : Owned(rlay_value_str(x.data(), x.size())) {}
  Value(const char* x) : Value(std::string_view(x)) {}
  Value(const std::string& x) : Value(std::string_view(x)) {}

  static Value bytes(const void* start, std::size_t length) {
    return Value(rlay_value_bytes(static_cast<const std::uint8_t*>(start), length));
  }
  /// An int of any size: little-endian, in two's complement.
  static Value big_int(const void* start, std::size_t length) {
    return Value(rlay_value_big_int(static_cast<const std::uint8_t*>(start), length));
  }
  template <class... Items>
  static Value list(Items&&... items) {
    return filled(Value(rlay_value_list()), std::forward<Items>(items)...);
  }
  template <class... Items>
  static Value tuple(Items&&... items) {
    return filled(Value(rlay_value_tuple()), std::forward<Items>(items)...);
  }
  static Value dict() { return Value(rlay_value_dict()); }
  /// A NumPy array of these elements, in C order.
  template <class T>
  static Value array(const Shape& shape, const std::vector<T>& elements) {
    return array(dtype_of<T>(), shape, elements.data(), elements.size() * sizeof(T));
  }
  static Value array(rlay_DType dtype, const Shape& shape, const void* elements, std::size_t size) {
    return Value(
        rlay_value_array(dtype, shape.data(), shape.size(), static_cast<const std::uint8_t*>(elements), size));
  }
  /// A NumPy scalar.
  template <class T>
  static Value scalar(T x) {
    return Value(rlay_value_scalar(dtype_of<T>(), reinterpret_cast<const std::uint8_t*>(&x), sizeof x));
  }
  static Value graph(Value nodes, Value edges = nullptr, Value edge_links = nullptr) {
    // To rlay_value_graph they would be None.
    if (!edges) return edges;
    if (!edge_links) return edge_links;
    return Value(rlay_value_graph(nodes.release(), edges.release(), edge_links.release()));
  }

  /// Appends to a list or tuple.
  Value& append(Value item) & {
    keep_if(rlay_value_append(owned(), item.release()));
    return *this;
  }
  Value&& append(Value item) && { return std::move(append(std::move(item))); }
  /// Stores an item in a dict.
  Value& set(std::string_view key, Value item) & {
    keep_if(rlay_value_set(owned(), key.data(), key.size(), item.release()));
    return *this;
  }
  Value&& set(std::string_view key, Value item) && { return std::move(set(key, std::move(item))); }
  /// The same with any key that a dict may have.
  Value& put(Value key, Value item) & {
    keep_if(rlay_value_put(owned(), key.release(), item.release()));
    return *this;
  }
  Value&& put(Value key, Value item) && { return std::move(put(std::move(key), std::move(item))); }

 private:
  template <class T>
  static rlay_Value* of_number(T x) {
    if constexpr (std::is_same_v<T, bool>) {
      return rlay_value_bool(x);
    } else if constexpr (std::is_floating_point_v<T>) {
      return rlay_value_float(static_cast<double>(x));
    } else if constexpr (std::is_unsigned_v<T> && sizeof(T) == 8) {
      if (x <= static_cast<T>(INT64_MAX)) return rlay_value_int(static_cast<std::int64_t>(x));
      std::uint8_t bytes[9] = {};
      for (unsigned i = 0; i < 8; ++i) bytes[i] = static_cast<std::uint8_t>(x >> (8 * i));
      return rlay_value_big_int(bytes, sizeof bytes);
    } else {
      return rlay_value_int(static_cast<std::int64_t>(x));
    }
  }
  template <class... Items>
  static Value filled(Value sequence, Items&&... items) {
    (sequence.append(Value(std::forward<Items>(items))), ...);
    return sequence;
  }
};

inline Value ValueView::clone() const { return Value(rlay_value_clone(handle_)); }

// ---------------------------------------------------------------------------------------------------------------------
// Spaces: rlay_space_...

class Space;

/// Reads a space that belongs to something else.
class SpaceView {
 public:
  explicit SpaceView(const rlay_Space* handle) : handle_(handle) {}

  const rlay_Space* get() const { return handle_; }
  rlay_SpaceKind kind() const { return rlay_space_kind(handle_); }
  /// Members of a Tuple, Dict, Sequence, Graph or OneOf.
  std::size_t count() const { return rlay_space_count(handle_); }
  std::optional<SpaceView> member(std::size_t index) const {
    const rlay_Space* found = nullptr;
    if (rlay_space_member(handle_, index, &found) != RLAY_OK) return std::nullopt;
    return SpaceView(found);
  }
  /// The key of a member of a Dict.
  std::optional<ValueView> key(std::size_t index) const {
    const rlay_Value* found = nullptr;
    if (rlay_space_key(handle_, index, &found) != RLAY_OK) return std::nullopt;
    return ValueView(found);
  }
  bool contains(const ValueView& value) const {
    bool is_contained = false;
    return rlay_space_contains(handle_, value.get(), &is_contained) == RLAY_OK && is_contained;
  }
  /// Bytes of an element in the packed form; RLAY_WRONG_KIND if the space has none.
  Expected<std::size_t> packed_size() const {
    std::size_t size = 0;
    const rlay_Status status = rlay_space_packed_size(handle_, &size);
    return detail::expected(status, size);
  }
  /// The leaves of the packed form, in its order; RLAY_WRONG_KIND if there is none.
  Expected<std::vector<rlay_Leaf>> leaves() const {
    std::size_t count = 0;
    if (rlay_space_leaf_count(handle_, &count) != RLAY_OK) return last_error();
    std::vector<rlay_Leaf> found(count);
    for (std::size_t i = 0; i < count; ++i) {
      if (rlay_space_leaf(handle_, i, &found[i]) != RLAY_OK) return last_error();
    }
    return found;
  }
  /// Bytes of the elements of so many environments in the packed form; RLAY_WRONG_KIND if the space has none.
  Expected<std::size_t> batch_size(std::uint32_t num_envs) const {
    std::size_t size = 0;
    const rlay_Status status = rlay_space_batch_size(handle_, num_envs, &size);
    return detail::expected(status, size);
  }
  /// Where the rows of leaf `index` of so many environments lie.
  Expected<rlay_Leaf> batch_leaf(std::size_t index, std::uint32_t num_envs) const {
    rlay_Leaf leaf{};
    const rlay_Status status = rlay_space_batch_leaf(handle_, index, num_envs, &leaf);
    return detail::expected(status, leaf);
  }
  /// The smallest and the largest value of an element, in C order.
  Expected<std::pair<double, double>> range(std::size_t index) const {
    std::pair<double, double> bounds;
    const rlay_Status status = rlay_space_range(handle_, index, &bounds.first, &bounds.second);
    return detail::expected(status, bounds);
  }
  Space clone() const;
  /// In Gymnasium's notation.
  std::string describe() const {
    return detail::described([this](char* to, std::size_t size, std::size_t* length) {
      return rlay_space_describe(handle_, to, size, length);
    });
  }

 protected:
  const rlay_Space* handle_ = nullptr;
};

/// Owns a space: `Space::dict().set("fuel", Space::discrete(32)).set("board", Space::box<std::uint8_t>(0, 255, {8}))`.
class Space : public detail::Owned<SpaceView, rlay_Space, rlay_space_free> {
 public:
  explicit Space(rlay_Space* handle) : Owned(handle) {}

  /// The same bounds for all elements; an infinite bound does not limit.
  template <class T>
  static Space box(double low, double high, const Shape& shape) {
    return box(dtype_of<T>(), low, high, shape);
  }
  static Space box(rlay_DType dtype, double low, double high, const Shape& shape) {
    return Space(rlay_space_box(dtype, shape.data(), shape.size(), low, high));
  }
  /// Bounds for each element, in C order.
  template <class T>
  static Space box_each(const std::vector<T>& low, const std::vector<T>& high, const Shape& shape) {
    // A size that the shape does not have is refused.
    const std::size_t size = low.size() == high.size() ? low.size() * sizeof(T) : 0;
    return Space(rlay_space_box_each(dtype_of<T>(), shape.data(), shape.size(),
                                     reinterpret_cast<const std::uint8_t*>(low.data()),
                                     reinterpret_cast<const std::uint8_t*>(high.data()), size));
  }
  static Space discrete(std::uint64_t n, std::int64_t start = 0, rlay_DType dtype = RLAY_INT64) {
    return Space(rlay_space_discrete_of(dtype, n, start));
  }
  static Space multi_binary(std::uint64_t n) { return Space(rlay_space_multi_binary(n)); }
  /// MultiBinary of a shape, such as {2, 3}.
  static Space multi_binary_of(const Shape& shape) {
    return Space(rlay_space_multi_binary_of(shape.data(), shape.size()));
  }
  /// Without `start` all begin at 0.
  static Space multi_discrete(const std::vector<std::int64_t>& nvec, const std::vector<std::int64_t>& start = {}) {
    if (start.empty()) return Space(rlay_space_multi_discrete(nvec.data(), nullptr, nvec.size()));
    // A count that the shape does not have is refused.
    const bool is_start_shorter = start.size() < nvec.size();
    const std::uint64_t longer = is_start_shorter ? nvec.size() : start.size();
    const std::size_t shorter = is_start_shorter ? start.size() : nvec.size();
    return Space(rlay_space_multi_discrete_of(RLAY_INT64, &longer, 1, nvec.data(), start.data(), shorter));
  }
  /// Without a charset it is Gymnasium's own.
  static Space text(std::uint64_t max_length, std::uint64_t min_length = 1,
                    std::optional<std::string_view> charset = std::nullopt) {
    const std::string_view chars = charset.value_or(std::string_view());
    return Space(rlay_space_text(min_length, max_length, charset ? chars.data() : nullptr, chars.size()));
  }
  template <class... Members>
  static Space tuple(Members... members) {
    return filled(Space(rlay_space_tuple()), std::move(members)...);
  }
  static Space dict() { return Space(rlay_space_dict()); }
  template <class... Members>
  static Space one_of(Members... members) {
    return filled(Space(rlay_space_one_of()), std::move(members)...);
  }
  static Space sequence(Space item, bool stack = false) { return Space(rlay_space_sequence(item.release(), stack)); }
  static Space graph(Space node) { return Space(rlay_space_graph(node.release(), nullptr)); }
  static Space graph(Space node, Space edge) {
    // To rlay_space_graph it would be a graph without edges.
    if (!edge) return edge;
    return Space(rlay_space_graph(node.release(), edge.release()));
  }

  /// Appends a member to a Tuple or OneOf.
  Space& append(Space member) & {
    keep_if(rlay_space_append(owned(), member.release()));
    return *this;
  }
  Space&& append(Space member) && { return std::move(append(std::move(member))); }
  /// Adds a member to a Dict; the order of the calls is that of the keys.
  Space& set(std::string_view key, Space member) & {
    keep_if(rlay_space_set(owned(), key.data(), key.size(), member.release()));
    return *this;
  }
  Space&& set(std::string_view key, Space member) && { return std::move(set(key, std::move(member))); }
  /// The same with any key that a dict may have.
  Space& put(Value key, Space member) & {
    keep_if(rlay_space_put(owned(), key.release(), member.release()));
    return *this;
  }
  Space&& put(Value key, Space member) && { return std::move(put(std::move(key), std::move(member))); }

 private:
  template <class... Members>
  static Space filled(Space space, Members... members) {
    (space.append(std::move(members)), ...);
    return space;
  }
};

inline Space SpaceView::clone() const { return Space(rlay_space_clone(handle_)); }

// ---------------------------------------------------------------------------------------------------------------------
// Specs: rlay_spec_...

/// Reads the description of an environment that belongs to something else.
class SpecView {
 public:
  explicit SpecView(const rlay_Spec* handle) : handle_(handle) {}

  const rlay_Spec* get() const { return handle_; }
  SpaceView observation_space() const { return SpaceView(part(rlay_spec_observation_space)); }
  SpaceView action_space() const { return SpaceView(part(rlay_spec_action_space)); }
  ValueView metadata() const { return ValueView(part(rlay_spec_metadata)); }
  ValueView details() const { return ValueView(part(rlay_spec_details)); }
  std::uint32_t slots() const { return rlay_spec_slots(handle_); }
  /// The names of the attributes that an agent may get, set and call; only of specs that an agent has.
  std::vector<std::string_view> attributes() const {
    std::vector<std::string_view> names(rlay_spec_attribute_count(handle_));
    for (std::size_t i = 0; i < names.size(); ++i) {
      const char* start = nullptr;
      std::size_t length = 0;
      if (rlay_spec_attribute(handle_, i, &start, &length) == RLAY_OK) names[i] = std::string_view(start, length);
    }
    return names;
  }

 protected:
  const rlay_Spec* handle_ = nullptr;

 private:
  template <class T>
  const T* part(rlay_Status (*read)(const rlay_Spec*, const T**)) const {
    const T* found = nullptr;
    return read(handle_, &found) == RLAY_OK ? found : nullptr;
  }
};

/// Owns the description of an environment.
class Spec : public detail::Owned<SpecView, rlay_Spec, rlay_spec_free> {
 public:
  Spec(Space observation_space, Space action_space)
      : Owned(rlay_spec_new(observation_space.release(), action_space.release())) {}

  /// A dict as Gymnasium's Env.metadata.
  Spec& set_metadata(Value metadata) {
    keep_if(rlay_spec_set_metadata(owned(), metadata.release()));
    return *this;
  }
  /// A dict of "reward_threshold", "nondeterministic" and "max_episode_steps".
  Spec& set_details(Value details) {
    keep_if(rlay_spec_set_details(owned(), details.release()));
    return *this;
  }
  Spec& set_env_id(std::string_view env_id) {
    keep_if(rlay_spec_set_env_id(owned(), env_id.data(), env_id.size()));
    return *this;
  }
  /// How many environments a session has.
  Spec& set_slots(std::uint32_t slots) {
    keep_if(rlay_spec_set_slots(owned(), slots));
    return *this;
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// Options: rlay_options_...

/// What environments and agents can be told. What is not set is as rlay.h says.
struct Options {
  std::optional<std::string> token{};  ///< an empty one: none, whatever RLAY_TOKEN says
  std::optional<double> reconnect_timeout{};
  std::optional<double> liveness{};
  std::optional<std::size_t> max_frame{};
  /// Takes the lines of the log, on the thread of the endpoint. It must not use the endpoint, and throw nothing.
  std::function<void(rlay_LogLevel, std::string_view)> log{};

  std::optional<std::uint32_t> max_sessions{};  ///< environments: agents at a time
  std::vector<std::string> attributes{};        ///< environments: the names that agents may use

  std::optional<double> connect_timeout{};    ///< agents: how long to look for the environment
  std::optional<double> timeout{};            ///< agents: how long a reset, step or render may take
  std::optional<std::string> render_mode{};   ///< agents
  std::optional<std::string> env_id{};        ///< agents: which environment
  std::optional<Value> kwargs{};              ///< agents: a dict of keyword arguments

  std::optional<std::uint32_t> num_envs{};               ///< vector agents: how many environments
  std::optional<rlay_AutoresetMode> autoreset_mode{};    ///< vector agents: which side begins the next episode
};

namespace detail {

using Log = std::function<void(rlay_LogLevel, std::string_view)>;

struct FreeOptions {
  void operator()(rlay_Options* options) const { rlay_options_free(options); }
};
using OptionsHandle = std::unique_ptr<rlay_Options, FreeOptions>;

inline void write_line(void* user, rlay_LogLevel level, const char* text, std::size_t length) {
  (*static_cast<const Log*>(user))(level, std::string_view(text, length));
}

/// Options as the C ABI has them. `log` has to live as long as the endpoint.
inline Expected<OptionsHandle> options_of(const Options& from, Log* log) {
  OptionsHandle made(rlay_options_new());
  rlay_Options* to = made.get();
  rlay_Status status = RLAY_OK;
  const auto set = [&](rlay_Status (*setter)(rlay_Options*, const char*, std::size_t), const std::string& text) {
    if (status == RLAY_OK) status = setter(to, text.data(), text.size());
  };
  const auto set_number = [&](auto setter, const auto& number) {
    if (status == RLAY_OK && number) status = setter(to, *number);
  };
  if (from.token && from.token->empty()) {
    status = rlay_options_set_token(to, nullptr, 0);
  } else if (from.token) {
    set(rlay_options_set_token, *from.token);
  }
  set_number(rlay_options_set_reconnect_timeout, from.reconnect_timeout);
  set_number(rlay_options_set_liveness, from.liveness);
  set_number(rlay_options_set_max_frame, from.max_frame);
  set_number(rlay_options_set_max_sessions, from.max_sessions);
  set_number(rlay_options_set_connect_timeout, from.connect_timeout);
  set_number(rlay_options_set_timeout, from.timeout);
  set_number(rlay_options_set_num_envs, from.num_envs);
  set_number(rlay_options_set_autoreset_mode, from.autoreset_mode);
  for (const std::string& name : from.attributes) set(rlay_options_add_attribute, name);
  if (from.render_mode) set(rlay_options_set_render_mode, *from.render_mode);
  if (from.env_id) set(rlay_options_set_env_id, *from.env_id);
  if (from.kwargs && !*from.kwargs) return last_error();
  if (status == RLAY_OK && from.kwargs) status = rlay_options_set_kwargs(to, from.kwargs->get());
  if (status == RLAY_OK && *log) status = rlay_options_set_log(to, write_line, log);
  if (status != RLAY_OK) return last_error();
  return made;
}

/// An open endpoint. Its handle is a number, which stays an error after it was closed.
template <class Handle, rlay_Status (*close_handle)(Handle*), rlay_Status (*stop_handle)(Handle*),
          rlay_Status (*read_address)(const Handle*, const char**, std::size_t*)>
class Endpoint {
 public:
  Endpoint(Endpoint&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)), log_(std::move(other.log_)) {}
  Endpoint& operator=(Endpoint&& other) noexcept {
    if (this != &other) {
      close();
      handle_ = std::exchange(other.handle_, nullptr);
      log_ = std::move(other.log_);
    }
    return *this;
  }
  ~Endpoint() { close(); }

  Handle* get() const { return handle_; }
  /// Where it listens, with its real port, or what it dials.
  std::string address() const {
    const char* start = nullptr;
    std::size_t length = 0;
    if (read_address(handle_, &start, &length) != RLAY_OK) return {};
    return std::string(start, length);
  }
  /// Ends waits, now and later, with RLAY_CLOSED. Any thread.
  Error stop() const { return error_of(stop_handle(handle_)); }
  /// Closes it; so does the destructor.
  Error close() {
    if (handle_ == nullptr) return {};
    return error_of(close_handle(handle_));
  }

 protected:
  Endpoint(Handle* handle, std::unique_ptr<Log> log) : handle_(handle), log_(std::move(log)) {}

  /// Opens one by `begin`, a call of the C ABI.
  template <class Made, class Begin>
  static Expected<Made> open(const Options& options, Begin begin) {
    auto log = std::make_unique<Log>(options.log);
    const Expected<OptionsHandle> made = options_of(options, log.get());
    if (!made) return made.error();
    Handle* handle = nullptr;
    if (begin(made->get(), &handle) != RLAY_OK) return last_error();
    return Made(handle, std::move(log));
  }

  Handle* handle_;

 private:
  std::unique_ptr<Log> log_;  // at an address that stays when the endpoint is moved
};

}  // namespace detail

// ---------------------------------------------------------------------------------------------------------------------
// Elements of spaces

/// A Python int as an element of a Discrete in the packed form.
inline rlay_Discrete discrete(std::int64_t value) { return {value, 0, {}}; }

/// An observation or action that is given to RLay during a call: the packed form, as a struct whose members are the
/// leaves of the space, or a value.
class Element {
 public:
  template <class T, std::enable_if_t<!std::is_base_of_v<ValueView, T>, int> = 0>
  Element(const T& packed) : packed_(&packed), size_(sizeof packed) {
    static_assert(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>,
                  "the packed form is a struct or array of the space's leaves; a vector is Element(data, bytes)");
  }
  Element(const void* packed, std::size_t bytes) : packed_(packed), size_(bytes) {}
  /// A view of a value that could not be made is None.
  Element(const ValueView& value) : value_(value.get()) {}
  Element(const Value& value) : value_(value.get()), is_made_(static_cast<bool>(value)) {}

  const void* packed() const { return packed_; }
  std::size_t size() const { return size_; }
  /// The value, where it is not packed.
  const rlay_Value* value() const { return value_; }
  bool is_made() const { return is_made_; }

 private:
  const void* packed_ = nullptr;
  std::size_t size_ = 0;
  const rlay_Value* value_ = nullptr;
  bool is_made_ = true;
};

namespace detail {

/// A struct that packed bytes are, or nullptr if they have another size. RLay aligns them to 8 bytes at least.
template <class T>
const T* as(const std::uint8_t* packed, std::size_t size) {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= 8, "the packed form is a struct of leaves");
  return packed != nullptr && size == sizeof(T) ? reinterpret_cast<const T*>(packed) : nullptr;
}

}  // namespace detail

// ---------------------------------------------------------------------------------------------------------------------
// Environments: rlay_env_...

/// What came of a reset or step: `turn.reply({observation, 1.0, true})`. It points to what it is made of.
struct Result {
  Result(const Element& its_observation, double its_reward = 0, bool is_terminated = false, bool is_truncated = false)
      : observation(its_observation), reward(its_reward), terminated(is_terminated), truncated(is_truncated) {}
  Result(const Element& its_observation, double its_reward, bool is_terminated, bool is_truncated,
         const Value& its_info)
      : Result(its_observation, its_reward, is_terminated, is_truncated) {
    info = its_info.get();
    is_made = static_cast<bool>(its_info);
  }

  Element observation;
  double reward;
  bool terminated;
  bool truncated;
  const rlay_Value* info = nullptr;
  bool is_made = true;  ///< whether the info could be made
};

/// What an agent wants of one slot. Views and packed actions are valid until it is answered. It can be copied and
/// answered in a later frame; what it does fails once its environment is closed.
class Turn {
 public:
  Turn(rlay_Env* env, const rlay_Turn& turn) : env_(env), turn_(turn) {}

  const rlay_Turn& get() const { return turn_; }
  rlay_TurnKind kind() const { return turn_.kind; }
  /// Which agent, below max_sessions.
  std::uint32_t session() const { return turn_.session; }
  /// Which of the environments of the session.
  std::uint32_t slot() const { return turn_.slot; }

  /// RESET: the seed's low 64 bits. Without a seed the generator of random numbers goes on.
  std::optional<std::uint64_t> seed() const {
    return turn_.has_seed ? std::optional(turn_.seed) : std::nullopt;
  }
  /// RESET: the options, a dict or None.
  ValueView options() const { return ValueView(turn_.options); }
  /// STEP: the packed action as this struct or array; nullptr if it is not packed, or of another size.
  template <class T>
  const T* action() const {
    return detail::as<T>(turn_.action, turn_.action_length);
  }
  /// STEP: the action of a Discrete; RLAY_WRONG_KIND if it is no integer. It may lie outside the space.
  Expected<std::int64_t> action_int() const {
    std::int64_t action = 0;
    const rlay_Status status = rlay_env_action_int(env_, &turn_, &action);
    return detail::expected(status, action);
  }
  /// STEP: the action, packed or not.
  Expected<ValueView> action_value() const {
    const rlay_Value* action = nullptr;
    const rlay_Status status = rlay_env_action_value(env_, &turn_, &action);
    return detail::expected(status, ValueView(action));
  }
  /// MAKE: the name that is asked for.
  std::optional<std::string_view> env_id() const { return detail::text(turn_.env_id, turn_.env_id_length); }
  /// MAKE and CALL: the keyword arguments, a dict or None.
  ValueView kwargs() const { return ValueView(turn_.kwargs); }
  /// MAKE and RENDER.
  std::optional<std::string_view> render_mode() const {
    return detail::text(turn_.render_mode, turn_.render_mode_length);
  }
  /// MAKE: how many slots the agent wants; 0: as many as there are.
  std::uint32_t slots() const { return turn_.slots; }
  /// ATTRIBUTE: its name, what is done with it, and the value or the tuple of arguments.
  std::string_view attribute() const {
    return detail::text(turn_.attribute, turn_.attribute_length).value_or(std::string_view());
  }
  rlay_Access access() const { return static_cast<rlay_Access>(turn_.access); }
  ValueView value() const { return ValueView(turn_.value); }
  /// CLOSE: why the agent is gone.
  std::string_view reason() const {
    return detail::text(turn_.reason, turn_.reason_length).value_or(std::string_view());
  }

  /// Answers a reset or step.
  Error reply(const Result& result) const {
    if (!result.is_made || !result.observation.is_made()) {
      return {RLAY_NULL_ARGUMENT, "the observation or info could not be made: " + last_error().message};
    }
    rlay_Result given{};
    given.observation = result.observation.packed();
    given.observation_length = result.observation.size();
    given.observation_value = result.observation.value();
    given.reward = result.reward;
    given.terminated = result.terminated;
    given.truncated = result.truncated;
    given.info = result.info;
    return detail::error_of(rlay_env_reply(env_, &turn_, &given));
  }
  Error reply_make(const Spec& spec) const { return detail::error_of(rlay_env_reply_make(env_, &turn_, spec.get())); }
  Error reply_frame(Value frame) const {
    return detail::error_of(rlay_env_reply_frame(env_, &turn_, frame.release()));
  }
  Error reply_attribute(Value value) const {
    return detail::error_of(rlay_env_reply_attribute(env_, &turn_, value.release()));
  }
  /// Answers a RLAY_GET: the attribute is a function.
  Error reply_function() const { return detail::error_of(rlay_env_reply_attribute(env_, &turn_, nullptr)); }
  /// Answers any turn with an error, which the agent's call raises: `turn.fail("ValueError", "an action from 0 to 2")`.
  /// Python's class `type` counts with RLAY_ENV alone.
  Error fail(std::string_view type, std::string_view message, rlay_Status code = RLAY_ENV) const {
    return detail::error_of(rlay_env_reply_error(env_, &turn_, code, type.data(), type.size(), message.data(),
                                                 message.size()));
  }

 private:
  rlay_Env* env_;
  rlay_Turn turn_;
};

/// An environment that agents play with.
class Env : public detail::Endpoint<rlay_Env, rlay_env_close, rlay_env_stop, rlay_env_address> {
 public:
  /// Listens for agents (rlay.ClientEnv). Without a spec the program answers turns of kind RLAY_TURN_MAKE.
  static Expected<Env> listen(std::string_view address, const Spec& spec, const Options& options = {}) {
    return described(rlay_env_listen, address, spec, options);
  }
  static Expected<Env> listen(std::string_view address, const Options& options = {}) {
    return begin(rlay_env_listen, address, nullptr, options);
  }
  /// Dials agents (rlay.ServerEnv).
  static Expected<Env> dial(std::string_view address, const Spec& spec, const Options& options = {}) {
    return described(rlay_env_dial, address, spec, options);
  }
  static Expected<Env> dial(std::string_view address, const Options& options = {}) {
    return begin(rlay_env_dial, address, nullptr, options);
  }

  /// What an agent wants now, RLAY_TURN_NONE if nothing. RLAY_CLOSED says that it is over; other errors concern one
  /// session or dialing, and a later poll goes on.
  Expected<Turn> poll() {
    rlay_Turn turn{};
    if (rlay_env_poll(handle_, &turn) != RLAY_OK) return last_error();
    return Turn(handle_, turn);
  }
  /// The same, but waits for at most so many seconds.
  Expected<Turn> wait(double seconds) {
    rlay_Turn turn{};
    if (rlay_env_wait(handle_, seconds, &turn) != RLAY_OK) return last_error();
    return Turn(handle_, turn);
  }

 private:
  friend Endpoint;
  using Endpoint::Endpoint;
  using Begin = rlay_Status (*)(const char*, std::size_t, const rlay_Spec*, const rlay_Options*, rlay_Env**);

  static Expected<Env> described(Begin call, std::string_view address, const Spec& spec, const Options& options) {
    if (!spec) return Error{RLAY_NULL_ARGUMENT, "the spec could not be made: " + last_error().message};
    return begin(call, address, spec.get(), options);
  }
  static Expected<Env> begin(Begin call, std::string_view address, const rlay_Spec* spec, const Options& options) {
    return open<Env>(options, [&](const rlay_Options* made, rlay_Env** env) {
      return call(address.data(), address.size(), spec, made, env);
    });
  }
};

namespace detail {

/// What an agent of one environment and one of many have in common. Of many, what comes is a list of one for each slot.
template <class Handle, rlay_Status (*close_handle)(Handle*), rlay_Status (*stop_handle)(Handle*),
          rlay_Status (*read_address)(const Handle*, const char**, std::size_t*),
          rlay_Status (*draw)(Handle*, const rlay_Value**),
          rlay_Status (*use)(Handle*, const char*, std::size_t, std::uint32_t, const rlay_Value*, const rlay_Value*,
                             const rlay_Value**)>
class Learner : public Endpoint<Handle, close_handle, stop_handle, read_address> {
 public:
  /// A frame, valid until the next render or attribute.
  Expected<ValueView> render() {
    const rlay_Value* frame = nullptr;
    const rlay_Status status = draw(this->handle_, &frame);
    return expected(status, ValueView(frame));
  }
  /// The value of an attribute, valid until the next render or attribute; nothing (its get() is nullptr) for a
  /// function.
  Expected<ValueView> get_attr(std::string_view name) { return attribute(name, RLAY_GET, {}, {}); }
  /// `value` is a list or tuple of one for each slot where there are many.
  Error set_attr(std::string_view name, const ValueView& value) {
    const Expected<ValueView> set = attribute(name, RLAY_SET, value, {});
    return set ? Error() : set.error();
  }
  /// What a function returns, valid as long. `args` is a list or tuple, `kwargs` a dict.
  Expected<ValueView> call(std::string_view name, const ValueView& args = {}, const ValueView& kwargs = {}) {
    return attribute(name, RLAY_CALL, args, kwargs);
  }

 protected:
  using Endpoint<Handle, close_handle, stop_handle, read_address>::Endpoint;

 private:
  Expected<ValueView> attribute(std::string_view name, rlay_Access access, const ValueView& value,
                                const ValueView& kwargs) {
    const rlay_Value* found = nullptr;
    const rlay_Status status =
        use(this->handle_, name.data(), name.size(), access, value.get(), kwargs.get(), &found);
    return expected(status, ValueView(found));
  }
};

}  // namespace detail

// ---------------------------------------------------------------------------------------------------------------------
// Agents: rlay_agent_...

/// What came of a reset or step of an agent. The observation and the info are valid until its next reset or step.
struct Step {
  rlay_Step step{};

  /// The packed observation as this struct or array; nullptr if it is not packed, or of another size.
  template <class T>
  const T* observation() const {
    return detail::as<T>(step.observation, step.observation_length);
  }
  double reward() const { return step.reward; }
  bool terminated() const { return step.terminated; }
  bool truncated() const { return step.truncated; }
  ValueView info() const { return ValueView(step.info); }
};

/// An environment in another process, to play with.
class Agent : public detail::Learner<rlay_Agent, rlay_agent_close, rlay_agent_stop, rlay_agent_address,
                                     rlay_agent_render, rlay_agent_attribute> {
 public:
  /// Dials an environment that listens.
  static Expected<Agent> connect(std::string_view address, const Options& options = {}) {
    return begin(rlay_agent_connect, address, options);
  }
  /// Listens for an environment that dials in.
  static Expected<Agent> listen(std::string_view address, const Options& options = {}) {
    return begin(rlay_agent_listen, address, options);
  }

  /// Valid until the next reset.
  Expected<SpecView> spec() {
    const rlay_Spec* found = nullptr;
    const rlay_Status status = rlay_agent_spec(handle_, &found);
    return detail::expected(status, SpecView(found));
  }
  /// `options` is a dict or None.
  Expected<Step> reset(std::optional<std::uint64_t> seed = std::nullopt, const ValueView& options = {}) {
    Step first;
    const rlay_Status status = rlay_agent_reset(handle_, seed ? &*seed : nullptr, options.get(), &first.step);
    return detail::expected(status, first);
  }
  /// `agent.step(discrete(1))`, or any struct, array or value that is an element of the action space.
  Expected<Step> step(const Element& action) {
    if (!action.is_made()) return Error{RLAY_NULL_ARGUMENT, "the action could not be made: " + last_error().message};
    Step next;
    const rlay_Status status = action.packed() != nullptr
                                   ? rlay_agent_step(handle_, action.packed(), action.size(), &next.step)
                                   : rlay_agent_step_value(handle_, action.value(), &next.step);
    return detail::expected(status, next);
  }
  /// The answer to a call that failed with RLAY_TIMEOUT.
  struct Late {
    rlay_TurnKind kind;  ///< RLAY_TURN_RESET, RLAY_TURN_STEP, RLAY_TURN_RENDER or RLAY_TURN_ATTRIBUTE
    Step step;           ///< of a reset or step
    ValueView value;     ///< of a render or attribute
  };
  Expected<Late> late() {
    Late found{};
    const rlay_Value* value = nullptr;
    const rlay_Status status = rlay_agent_late(handle_, &found.kind, &found.step.step, &value);
    found.value = ValueView(value);
    return detail::expected(status, found);
  }
  /// The last observation, packed or not. Valid until the next reset or step.
  Expected<ValueView> observation_value() {
    const rlay_Value* found = nullptr;
    const rlay_Status status = rlay_agent_observation_value(handle_, &found);
    return detail::expected(status, ValueView(found));
  }

 private:
  friend Endpoint;
  using Learner::Learner;

  template <class Begin>
  static Expected<Agent> begin(Begin call, std::string_view address, const Options& options) {
    return open<Agent>(options, [&](const rlay_Options* made, rlay_Agent** agent) {
      return call(address.data(), address.size(), made, agent);
    });
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// Learners of many environments: rlay_vector_agent_...

/// Python ints as the packed form of the actions of a Discrete, one for each environment.
inline std::vector<std::uint8_t> discrete_batch(const std::vector<std::int64_t>& values) {
  const std::size_t numbers = 8 * values.size();
  // Behind the numbers a byte for each says that it is no NumPy scalar; both parts end at a multiple of 8.
  std::vector<std::uint8_t> packed(numbers + (values.size() + 7) / 8 * 8);
  if (!values.empty()) std::memcpy(packed.data(), values.data(), numbers);
  return packed;
}

/// What came of a reset or step of many environments. Valid until the next reset, step or late answer.
struct VectorStep {
  rlay_VectorStep step{};

  std::uint32_t num_envs() const { return step.num_envs; }
  /// The packed observations: T is an array or struct of all of them. nullptr if they are not packed, or of another size.
  template <class T>
  const T* observations() const {
    return detail::as<T>(step.observations, step.observations_length);
  }
  double reward(std::uint32_t slot) const { return step.rewards[slot]; }
  bool terminated(std::uint32_t slot) const { return step.terminations[slot]; }
  bool truncated(std::uint32_t slot) const { return step.truncations[slot]; }
  /// How many episodes have ended of which this step shows the next one already: VectorAgent::final_episode.
  std::uint32_t final_count() const { return step.final_count; }
};

/// Many environments in other processes, which step at once: Gymnasium's VectorEnv.
class VectorAgent
    : public detail::Learner<rlay_VectorAgent, rlay_vector_agent_close, rlay_vector_agent_stop,
                             rlay_vector_agent_address, rlay_vector_agent_render, rlay_vector_agent_attribute> {
 public:
  /// Dials a host, which makes as many environments as the options say.
  static Expected<VectorAgent> connect(std::string_view address, const Options& options = {}) {
    return begin(rlay_vector_agent_connect, address, options);
  }
  /// Listens for environments that dial in.
  static Expected<VectorAgent> listen(std::string_view address, const Options& options = {}) {
    return begin(rlay_vector_agent_listen, address, options);
  }

  /// Its spaces are those of one environment.
  Expected<SpecView> spec() {
    const rlay_Spec* found = nullptr;
    const rlay_Status status = rlay_vector_agent_spec(handle_, &found);
    return detail::expected(status, SpecView(found));
  }
  /// `seed` is that of slot 0, to which each further one adds its number. `mask` says which slots are reset, with a byte
  /// for each; an empty one: all.
  Expected<VectorStep> reset(std::optional<std::uint64_t> seed = std::nullopt, const ValueView& options = {},
                             const std::vector<std::uint8_t>& mask = {}) {
    VectorStep first;
    const rlay_Status status = rlay_vector_agent_reset(handle_, seed ? &*seed : nullptr,
                                                       mask.empty() ? nullptr : mask.data(), mask.size(),
                                                       options.get(), &first.step);
    return detail::expected(status, first);
  }
  /// `actions` is the packed form of all: discrete_batch, or the arrays of a Box one after another.
  template <class T>
  Expected<VectorStep> step(const std::vector<T>& actions) {
    VectorStep next;
    const rlay_Status status = rlay_vector_agent_step(handle_, actions.data(), sizeof(T) * actions.size(), &next.step);
    return detail::expected(status, next);
  }
  /// `actions` is a list or tuple of one for each slot.
  Expected<VectorStep> step_value(const ValueView& actions) {
    VectorStep next;
    const rlay_Status status = rlay_vector_agent_step_value(handle_, actions.get(), &next.step);
    return detail::expected(status, next);
  }
  /// The answer to a call that failed with RLAY_TIMEOUT.
  struct Late {
    rlay_TurnKind kind;  ///< RLAY_TURN_RESET, RLAY_TURN_STEP, RLAY_TURN_RENDER or RLAY_TURN_ATTRIBUTE
    VectorStep step;     ///< of a reset or step
    ValueView value;     ///< of a render or attribute
  };
  Expected<Late> late() {
    Late found{};
    const rlay_Value* value = nullptr;
    const rlay_Status status = rlay_vector_agent_late(handle_, &found.kind, &found.step.step, &value);
    found.value = ValueView(value);
    return detail::expected(status, found);
  }
  /// What the last reset or step said of a slot, a dict.
  Expected<ValueView> info(std::uint32_t slot) {
    const rlay_Value* found = nullptr;
    const rlay_Status status = rlay_vector_agent_info(handle_, slot, &found);
    return detail::expected(status, ValueView(found));
  }
  /// The end of an episode whose slot has begun the next one, by its number below final_count().
  Expected<rlay_Final> final_episode(std::uint32_t index) {
    rlay_Final found{};
    const rlay_Status status = rlay_vector_agent_final(handle_, index, &found);
    return detail::expected(status, found);
  }
  /// The last observation of a slot, packed or not.
  Expected<ValueView> observation_value(std::uint32_t slot) {
    const rlay_Value* found = nullptr;
    const rlay_Status status = rlay_vector_agent_observation_value(handle_, slot, &found);
    return detail::expected(status, ValueView(found));
  }

 private:
  friend Endpoint;
  using Learner::Learner;

  template <class Begin>
  static Expected<VectorAgent> begin(Begin call, std::string_view address, const Options& options) {
    return open<VectorAgent>(options, [&](const rlay_Options* made, rlay_VectorAgent** agent) {
      return call(address.data(), address.size(), made, agent);
    });
  }
};

}  // namespace rlay::ffi

#endif
