/// \file
/// Holds what RLay's messages are made of: errors, dtypes, values and spaces (docs/wire.md, sections 4 to 6).
///
/// \code
/// rlay::Dict info{{"lives", 3}, {"position", rlay::NdArray::of<float>({0.5F, 1.0F})}};
/// rlay::Space space = rlay::spaces::Dict{{"fuel", rlay::spaces::Discrete(32)},
///                                        {"image", rlay::spaces::Box::of<std::uint8_t>(0, 255, {84, 84, 3})}};
/// \endcode
#ifndef RLAY_VALUES_HPP
#define RLAY_VALUES_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace rlay {

using Bytes = std::vector<std::uint8_t>;
using Bytes32 = std::array<std::uint8_t, 32>;
using Shape = std::vector<std::uint64_t>;

// ---------------------------------------------------------------------------------------------------------------------
// Errors

/// Says which side caused an error (section 11).
enum class Code : std::uint32_t {
  none = 0,
  usage = 1,             ///< a request that makes no sense here
  reset_needed = 2,      ///< step before the first reset
  invalid_action = 3,    ///< the action's structure is not that of the action space
  closed = 4,            ///< the environment or the session was closed
  busy = 5,              ///< another request is under way; or no room for another session
  address = 6,           ///< an address that cannot be used; never sent
  incompatible = 7,      ///< wire number, role or limits do not fit
  protocol = 8,          ///< the peer broke the protocol
  env = 9,               ///< the environment's own code failed
  connection_lost = 10,  ///< the connection, or the session that was to be resumed, is gone
  unauthorized = 13      ///< the token is missing or wrong, at either end
};

/// An error, or none: `if (rlay::Error error = backend.run()) report(error.message);`
struct Error {
  Code code = Code::none;
  std::string message;
  std::string type;       ///< of an error of the environment: what Python would name the exception's class
  std::string traceback;  ///< where it happened; may be empty

  explicit operator bool() const { return code != Code::none; }
};

/// Makes the error of an environment, which Python raises as `rlay.EnvError`. It tells the agent the file and the line
/// of the call.
inline Error env_error(std::string type, std::string message, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE()) {
  return {Code::env, std::move(message), std::move(type), "  " + std::string(file) + ":" + std::to_string(line)};
}

/// A T, or the Error that says why there is none. Both convert to it, so a function returns either.
template <class T>
class Expected {
 public:
  template <class U = T,
            std::enable_if_t<std::is_convertible_v<U&&, T> && !std::is_same_v<std::decay_t<U>, Error>, int> = 0>
  Expected(U&& value) : content_(std::in_place_index<0>, std::forward<U>(value)) {}
  Expected(Error error) : content_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return content_.index() == 0; }
  /// The T; only where there is one.
  T& operator*() { return *std::get_if<0>(&content_); }
  const T& operator*() const { return *std::get_if<0>(&content_); }
  T* operator->() { return std::get_if<0>(&content_); }
  const T* operator->() const { return std::get_if<0>(&content_); }
  /// The error; only where there is no T.
  Error& error() { return *std::get_if<1>(&content_); }
  const Error& error() const { return *std::get_if<1>(&content_); }

 private:
  std::variant<T, Error> content_;
};

// ---------------------------------------------------------------------------------------------------------------------
// Elements of arrays (section 4)

/// The element type of an array.
enum class Dtype : std::uint32_t {
  boolean, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float16, float32, float64
};

/// A float16, which C++17 does not have.
struct Half {
  std::uint16_t bits = 0;

  Half() = default;
  /// Rounds to the nearest, of two equally near ones to the even.
  explicit Half(float x) {
    std::uint32_t whole = 0;
    std::memcpy(&whole, &x, sizeof whole);
    const std::uint32_t sign = whole >> 16 & 0x8000;
    whole &= 0x7fffffff;
    std::uint32_t half = 0;
    if (whole > 0x7f800000) {
      half = 0x7e00;
    } else if (whole >= 0x47800000) {
      half = 0x7c00;
    } else if (whole < 0x38800000) {
      // The float's own addition rounds to a multiple of 2^-24, the smallest half.
      float magnitude = 0;
      std::memcpy(&magnitude, &whole, sizeof whole);
      magnitude += 0.5F;
      std::memcpy(&half, &magnitude, sizeof half);
      half -= 0x3f000000;
    } else {
      half = ((whole + 0xfff + (whole >> 13 & 1)) >> 13) - (112U << 10);
    }
    bits = static_cast<std::uint16_t>(sign | half);
  }
  explicit operator float() const {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000) << 16;
    const std::uint32_t exponent = bits >> 10 & 31;
    const std::uint32_t mantissa = bits & 1023;
    std::uint32_t whole = sign | (exponent + 112) << 23 | mantissa << 13;
    if (exponent == 31) whole = sign | 0x7f800000 | mantissa << 13;
    if (exponent == 0) {
      const float tiny = static_cast<float>(mantissa) / 16777216.0F;
      std::memcpy(&whole, &tiny, sizeof whole);
      whole |= sign;
    }
    float x = 0;
    std::memcpy(&x, &whole, sizeof x);
    return x;
  }
};

/// The dtype whose elements are of the C++ type T: bool, any integer type, Half, float, double.
template <class T>
constexpr Dtype dtype_of() {
  static_assert(std::is_arithmetic_v<T> || std::is_same_v<T, Half>, "no dtype has elements of this type");
  static_assert(sizeof(T) <= 8, "no dtype has elements of this type");
  if constexpr (std::is_same_v<T, bool>) return Dtype::boolean;
  if constexpr (std::is_same_v<T, Half>) return Dtype::float16;
  if constexpr (std::is_floating_point_v<T>) return sizeof(T) == 4 ? Dtype::float32 : Dtype::float64;
  constexpr std::uint32_t rank = sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3;
  return static_cast<Dtype>(rank + (std::is_signed_v<T> ? 1 : 5));
}

/// Bytes of one element.
constexpr std::size_t size_of(Dtype dtype) {
  constexpr std::uint8_t sizes[] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8};
  return sizes[static_cast<std::size_t>(dtype)];
}

constexpr bool is_integer(Dtype dtype) { return dtype >= Dtype::int8 && dtype <= Dtype::uint64; }

namespace detail {

template <class T>
using LongBits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
template <class T>
using Bits = std::conditional_t<sizeof(T) == 1, std::uint8_t,
                                std::conditional_t<sizeof(T) == 2, std::uint16_t, LongBits<T>>>;

/// Writes x as little-endian bytes. Compilers make one instruction of the loop.
template <class T>
void store(std::uint8_t* to, T x) {
  Bits<T> bits = 0;
  std::memcpy(&bits, static_cast<const void*>(&x), sizeof x);
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    to[i] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(bits) >> (8 * i));
  }
}

template <class T>
T load(const std::uint8_t* from) {
  if constexpr (std::is_same_v<T, bool>) {
    return *from != 0;
  } else {
    std::uint64_t wide = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) wide |= static_cast<std::uint64_t>(from[i]) << (8 * i);
    const auto bits = static_cast<Bits<T>>(wide);
    T x{};
    std::memcpy(static_cast<void*>(&x), &bits, sizeof x);
    return x;
  }
}

/// Converts numbers; a float beyond an integer type becomes 0, for which C++ has no answer.
template <class T, class S>
T convert(S x) {
  if constexpr (std::is_same_v<S, T>) {
    return x;
  } else if constexpr (std::is_same_v<S, Half>) {
    return convert<T>(static_cast<float>(x));
  } else if constexpr (std::is_same_v<T, Half>) {
    return Half(static_cast<float>(x));
  } else if constexpr (std::is_same_v<T, bool>) {
    return x != S{};
  } else if constexpr (std::is_floating_point_v<S> && std::is_integral_v<T>) {
    constexpr double end = 2.0 * static_cast<double>(T{1} << (std::numeric_limits<T>::digits - 1));
    const auto wide = static_cast<double>(x);
    const bool fits = wide < end && (std::is_signed_v<T> ? wide >= -end : wide > -1.0);
    return fits ? static_cast<T>(wide) : T{};
  } else {
    return static_cast<T>(x);
  }
}

/// The element at `from` as a T.
template <class T>
T element(Dtype dtype, const std::uint8_t* from) {
  switch (dtype) {
    case Dtype::boolean: return convert<T>(load<bool>(from));
    case Dtype::int8: return convert<T>(load<std::int8_t>(from));
    case Dtype::int16: return convert<T>(load<std::int16_t>(from));
    case Dtype::int32: return convert<T>(load<std::int32_t>(from));
    case Dtype::int64: return convert<T>(load<std::int64_t>(from));
    case Dtype::uint8: return convert<T>(load<std::uint8_t>(from));
    case Dtype::uint16: return convert<T>(load<std::uint16_t>(from));
    case Dtype::uint32: return convert<T>(load<std::uint32_t>(from));
    case Dtype::uint64: return convert<T>(load<std::uint64_t>(from));
    case Dtype::float16: return convert<T>(load<Half>(from));
    case Dtype::float32: return convert<T>(load<float>(from));
    case Dtype::float64: return convert<T>(load<double>(from));
  }
  return T{};
}

/// Whether x is neither infinite nor NaN, by its bits, so that -ffast-math changes nothing.
template <class T>
bool is_finite(T x) {
  if constexpr (std::is_integral_v<T>) {
    return true;
  } else {
    constexpr std::uint64_t exponent = sizeof(T) == 2 ? 0x7c00 : sizeof(T) == 4 ? 0x7f800000 : 0x7ff0000000000000;
    std::uint8_t bytes[8] = {};
    store<T>(bytes, x);
    return (load<std::uint64_t>(bytes) & exponent) != exponent;
  }
}

/// The bytes of an array: nothing if the shape holds more than an array may have (section 5).
inline std::optional<std::uint64_t> array_size(const Shape& shape, std::uint64_t element_size) {
  constexpr std::uint64_t most = (std::numeric_limits<std::int64_t>::max)();
  if (shape.size() > 64) return std::nullopt;
  std::uint64_t product = element_size;
  bool is_empty = false;
  for (const std::uint64_t n : shape) {
    if (n == 0) {
      is_empty = true;
    } else if (n > most / product) {
      return std::nullopt;
    } else {
      product *= n;
    }
  }
  return is_empty ? 0 : product;
}

}  // namespace detail

// ---------------------------------------------------------------------------------------------------------------------
// Values (section 5)

class Value;
class Space;

/// A key of a Dict and its value. (A template, since a Value is not complete yet.)
template <class V>
struct EntryOf {
  V key;
  V value;
};
using Entry = EntryOf<Value>;

/// An array of NumPy's: elements in C order, little-endian whatever `big_endian` says of the peer's type.
///
/// `NdArray::of<float>({1, 2})` has the shape (2,), `NdArray::of<float>({{2, 3}}, values)` the shape (2, 3), and
/// `NdArray(Dtype::uint8, {8, 8, 3})` is zeros. `data` has as many bytes as shape and dtype say, else the array cannot
/// be sent.
struct NdArray {
  Dtype dtype = Dtype::float64;
  bool big_endian = false;
  Shape shape{0};
  Bytes data;

  NdArray() = default;
  /// Zeros.
  NdArray(Dtype its_dtype, Shape its_shape) : dtype(its_dtype), shape(std::move(its_shape)) {
    data.resize(static_cast<std::size_t>(detail::array_size(shape, size_of(dtype)).value_or(0)));
  }
  /// These elements, in C order.
  template <class T>
  static NdArray of(Shape shape, const std::vector<T>& elements) {
    NdArray array;
    array.dtype = dtype_of<T>();
    array.shape = std::move(shape);
    array.data.resize(elements.size() * sizeof(T));
    for (std::size_t i = 0; i < elements.size(); ++i) detail::store<T>(array.data.data() + i * sizeof(T), elements[i]);
    return array;
  }
  /// These elements, in one dimension.
  template <class T>
  static NdArray of(const std::vector<T>& elements) {
    return of(Shape{elements.size()}, elements);
  }
  template <class T>
  static NdArray of(std::initializer_list<T> elements) {
    return of(std::vector<T>(elements));
  }

  /// How many elements there are.
  std::size_t size() const { return data.size() / size_of(dtype); }
  /// Element i in C order, converted to T; 0 if there is no such element, since an agent may send any shape.
  template <class T>
  T get(std::size_t i) const {
    return i < size() ? detail::element<T>(dtype, data.data() + i * size_of(dtype)) : T{};
  }
  /// Sets element i; T is the type of the dtype, and i below size(), else nothing happens.
  template <class T>
  void set(std::size_t i, T x) {
    if (dtype == dtype_of<T>() && i < size()) detail::store<T>(data.data() + i * sizeof(T), x);
  }
  /// All elements, converted to T.
  template <class T>
  std::vector<T> elements() const {
    std::vector<T> all(size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = get<T>(i);
    return all;
  }
};

/// A scalar of NumPy's, such as `np.float32(1)`.
struct Scalar {
  Dtype dtype = Dtype::int64;
  bool big_endian = false;
  std::array<std::uint8_t, 8> data{};  ///< the element, then zeros

  template <class T>
  static Scalar of(T x) {
    Scalar scalar;
    scalar.dtype = dtype_of<T>();
    detail::store<T>(scalar.data.data(), x);
    return scalar;
  }
  template <class T>
  T get() const {
    return detail::element<T>(dtype, data.data());
  }
};

/// An int beyond 64 bits: two's complement, little-endian, in as few bytes as hold it, and at least 9.
struct BigInt {
  Bytes bytes;
};

/// What nothing else can hold: shown to people. It may be sent in an info, in metadata and in details.
struct Opaque {
  std::string type_name;
  std::string repr;
};

struct List {
  std::vector<Value> items;
};

struct Tuple {
  std::vector<Value> items;
};

/// A dict of Python's, which keeps the order in which keys were added: `Dict{{"t", 3}, {"speed", 0.5}}`.
///
/// Keys are texts, ints, or None, bools, floats, bytes, scalars and tuples of keys (section 5).
class Dict {
 public:
  Dict() = default;
  Dict(std::initializer_list<Entry> entries);
  /// Sets the value of a key, in its place if it is there already.
  Dict& set(Value key, Value value);
  /// The value of a key, or nullptr.
  const Value* find(const Value& key) const;
  const std::vector<Entry>& entries() const { return entries_; }
  std::size_t size() const;

 private:
  friend class Reader;
  friend void unpack(const Space&, class Reader&, std::vector<Value>&);
  std::vector<Entry> entries_;
};

/// A `GraphInstance` of Gymnasium's; edges and edge_links may be None.
class GraphInstance {
 public:
  GraphInstance(Value nodes, Value edges, Value edge_links);
  const Value& nodes() const;
  const Value& edges() const;
  const Value& edge_links() const;

 private:
  friend bool operator==(const GraphInstance&, const GraphInstance&);
  const Value& part(std::size_t i) const;

  std::vector<Value> parts_;
};

/// Any value of the wire, which keeps Python's types apart.
///
/// | Python | C++ | | Python | C++ |
/// |---|---|---|---|---|
/// | None | `std::monostate` | | list, tuple | `List`, `Tuple` |
/// | bool | `bool` | | dict | `Dict` |
/// | int | `std::int64_t`, beyond it `BigInt` | | np.ndarray | `NdArray` |
/// | float | `double` | | np.generic | `Scalar` |
/// | str | `std::string` (UTF-8) | | GraphInstance | `GraphInstance` |
/// | bytes | `Bytes` | | anything else | `Opaque` |
///
/// Each of these converts to a Value, and `value.as<NdArray>()` is a pointer to it, or nullptr if it is another.
class Value {
 public:
  /// In the order of the wire's tags.
  using Content = std::variant<std::monostate, bool, std::int64_t, BigInt, double, std::string, Bytes, List, Tuple,
                               Dict, NdArray, Scalar, GraphInstance, Opaque>;

  Value() = default;
  Value(std::monostate) {}
  Value(std::nullptr_t) {}
  /// A bool, an int or a float, by the type of x.
  template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
  Value(T x) {
    if constexpr (std::is_same_v<T, bool>) {
      content_ = x;
    } else if constexpr (std::is_floating_point_v<T>) {
      content_ = static_cast<double>(x);
    } else {
      if constexpr (std::is_unsigned_v<T> && sizeof(T) == 8) {
        if (x > static_cast<T>((std::numeric_limits<std::int64_t>::max)())) {
          BigInt big{Bytes(9)};
          detail::store<T>(big.bytes.data(), x);
          content_ = std::move(big);
          return;
        }
      }
      content_ = static_cast<std::int64_t>(x);
    }
  }
  Value(const char* text) : content_(std::string(text)) {}
  Value(std::string_view text) : content_(std::string(text)) {}
  Value(std::string text) : content_(std::move(text)) {}
  Value(BigInt x) : content_(std::move(x)) {}
  Value(Bytes x) : content_(std::move(x)) {}
  Value(List x) : content_(std::move(x)) {}
  Value(Tuple x) : content_(std::move(x)) {}
  Value(Dict x) : content_(std::move(x)) {}
  Value(NdArray x) : content_(std::move(x)) {}
  Value(Scalar x) : content_(std::move(x)) {}
  Value(GraphInstance x) : content_(std::move(x)) {}
  Value(Opaque x) : content_(std::move(x)) {}
  /// No pointer is a bool.
  template <class T>
  Value(T*) = delete;

  template <class T>
  const T* as() const {
    return std::get_if<T>(&content_);
  }
  template <class T>
  T* as() {
    return std::get_if<T>(&content_);
  }
  bool is_none() const { return content_.index() == 0; }
  /// The number of an int, or of a scalar of an integer dtype that fits; what an action of a Discrete space is.
  std::optional<std::int64_t> to_int() const {
    if (const auto* number = as<std::int64_t>()) return *number;
    const auto* scalar = as<Scalar>();
    if (scalar == nullptr || !is_integer(scalar->dtype)) return std::nullopt;
    const auto number = scalar->get<std::int64_t>();
    if (scalar->dtype == Dtype::uint64 && number < 0) return std::nullopt;
    return number;
  }
  /// The number of an int, a float, or a scalar.
  std::optional<double> to_double() const {
    if (const auto* number = as<double>()) return *number;
    if (const auto* number = as<std::int64_t>()) return static_cast<double>(*number);
    if (const auto* scalar = as<Scalar>()) return scalar->get<double>();
    return std::nullopt;
  }
  const Content& content() const { return content_; }

 private:
  Content content_;
};

inline bool operator==(const Value& a, const Value& b);
inline bool operator!=(const Value& a, const Value& b) { return !(a == b); }
inline bool operator==(const Entry& a, const Entry& b) { return a.key == b.key && a.value == b.value; }
inline bool operator==(const BigInt& a, const BigInt& b) { return a.bytes == b.bytes; }
inline bool operator==(const Opaque& a, const Opaque& b) { return a.type_name == b.type_name && a.repr == b.repr; }
inline bool operator==(const List& a, const List& b) { return a.items == b.items; }
inline bool operator==(const Tuple& a, const Tuple& b) { return a.items == b.items; }
inline bool operator==(const Dict& a, const Dict& b) { return a.entries() == b.entries(); }
inline bool operator==(const GraphInstance& a, const GraphInstance& b) { return a.parts_ == b.parts_; }
inline bool operator==(const NdArray& a, const NdArray& b) {
  return a.dtype == b.dtype && a.big_endian == b.big_endian && a.shape == b.shape && a.data == b.data;
}
inline bool operator==(const Scalar& a, const Scalar& b) {
  return a.dtype == b.dtype && a.big_endian == b.big_endian && a.data == b.data;
}
/// Whether both are of one type and equal; arrays and scalars by their bits, dicts with their order.
inline bool operator==(const Value& a, const Value& b) { return a.content() == b.content(); }

inline Dict::Dict(std::initializer_list<Entry> entries) {
  for (const Entry& entry : entries) set(entry.key, entry.value);
}
inline Dict& Dict::set(Value key, Value value) {
  for (Entry& entry : entries_) {
    if (entry.key == key) {
      entry.value = std::move(value);
      return *this;
    }
  }
  entries_.push_back({std::move(key), std::move(value)});
  return *this;
}
inline const Value* Dict::find(const Value& key) const {
  for (const Entry& entry : entries_) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}
inline std::size_t Dict::size() const { return entries_.size(); }

inline GraphInstance::GraphInstance(Value nodes, Value edges, Value edge_links) {
  parts_.reserve(3);
  parts_.push_back(std::move(nodes));
  parts_.push_back(std::move(edges));
  parts_.push_back(std::move(edge_links));
}
inline const Value& GraphInstance::part(std::size_t i) const {
  // One that was moved from has no parts.
  static const Value none;
  return i < parts_.size() ? parts_[i] : none;
}
inline const Value& GraphInstance::nodes() const { return part(0); }
inline const Value& GraphInstance::edges() const { return part(1); }
inline const Value& GraphInstance::edge_links() const { return part(2); }

// ---------------------------------------------------------------------------------------------------------------------
// Spaces (section 6)

/// The spaces of Gymnasium. A space that Gymnasium would refuse, such as `Discrete(0)`, is refused when an agent asks
/// for the environment, and the agent gets the error; or, in a Spec, when the backend is made.
namespace spaces {

/// One bound of a Box. `bounded` says whether the bound limits anything: an integer Box made with `-inf` stores its
/// dtype's smallest value.
struct Bound {
  bool is_uniform = true;  ///< one element and one mark for all; else one for each
  Bytes values;
  Bytes bounded;
};

/// Arrays whose elements lie between two bounds. The element type is the template argument:
/// `Box::of<float>(-1, 1, {2, 3})` is Python's `Box(-1, 1, (2, 3), np.float32)`.
struct Box {
  Dtype dtype = Dtype::float32;
  bool big_endian = false;
  Shape shape;
  Bound low;
  Bound high;

  /// The same bounds for each element. A float bound that is infinite is none.
  template <class T>
  static Box of(T low, T high, Shape shape) {
    return {dtype_of<T>(), false, std::move(shape), bound<T>({low}, true), bound<T>({high}, true)};
  }
  /// Bounds for each element, in C order: as many as the shape has elements.
  template <class T>
  static Box of(const std::vector<T>& low, const std::vector<T>& high, Shape shape) {
    const std::uint64_t count = detail::array_size(shape, 1).value_or(0);
    return {dtype_of<T>(), false, std::move(shape), bound<T>(low, low.size() == count),
            bound<T>(high, high.size() == count)};
  }
  /// Whatever the element type can hold: Python's `Box(-np.inf, np.inf, shape, dtype)`.
  template <class T>
  static Box unbounded(Shape shape) {
    using Limits = std::numeric_limits<T>;
    if constexpr (std::is_floating_point_v<T>) {
      return of<T>(-Limits::infinity(), Limits::infinity(), std::move(shape));
    } else {
      static_assert(std::is_integral_v<T>, "float and integer types can be unbounded");
      Box box = of<T>(Limits::lowest(), (Limits::max)(), std::move(shape));
      box.low.bounded = box.high.bounded = {0};
      return box;
    }
  }

 private:
  template <class T>
  static Bound bound(std::vector<T> values, bool fits_shape) {
    // Equal spaces are to be equal bytes. What does not fit the shape is refused when the space is sent.
    const NdArray array = NdArray::of<T>(values);
    bool are_alike = fits_shape && !values.empty();
    for (std::size_t i = sizeof(T); i < array.data.size(); ++i) {
      are_alike = are_alike && array.data[i] == array.data[i - sizeof(T)];
    }
    Bound bound;
    bound.is_uniform = are_alike;
    const std::size_t n = are_alike ? 1 : values.size();
    bound.values.assign(array.data.begin(), array.data.begin() + static_cast<std::ptrdiff_t>(n * sizeof(T)));
    for (std::size_t i = 0; i < n; ++i) {
      bound.bounded.push_back(detail::is_finite<T>(values[i]) ? 1 : 0);
    }
    return bound;
  }
};

/// Integers from start to start + n - 1. Agents send ints or scalars: see Value::to_int.
struct Discrete {
  std::uint64_t n = 1;
  std::int64_t start = 0;
  Dtype dtype = Dtype::int64;

  /// Less than one integer comes to none, which is refused.
  explicit Discrete(std::int64_t its_n, std::int64_t its_start = 0, Dtype its_dtype = Dtype::int64)
      : n(its_n < 0 ? 0 : static_cast<std::uint64_t>(its_n)), start(its_start), dtype(its_dtype) {}
};

/// Arrays of int8 whose elements are 0 or 1.
struct MultiBinary {
  Shape shape;
  bool n_is_int = true;

  /// Python's `MultiBinary(n)`.
  explicit MultiBinary(std::uint64_t n) : shape{n} {}
  /// Python's `MultiBinary([2, 3])`.
  static MultiBinary shaped(Shape shape) {
    MultiBinary space(0);
    space.shape = std::move(shape);
    space.n_is_int = false;
    return space;
  }
};

/// Arrays of integers, element i from start[i] to start[i] + nvec[i] - 1.
struct MultiDiscrete {
  Dtype dtype = Dtype::int64;
  bool big_endian = false;
  Shape shape;
  std::vector<std::int64_t> nvec;
  std::vector<std::int64_t> start;

  /// One dimension; without `start` all begin at 0.
  explicit MultiDiscrete(std::vector<std::int64_t> its_nvec, std::vector<std::int64_t> its_start = {},
                         Dtype its_dtype = Dtype::int64)
      : dtype(its_dtype), shape{its_nvec.size()}, nvec(std::move(its_nvec)), start(std::move(its_start)) {
    if (start.empty()) start.resize(nvec.size());
  }
};

/// Texts of min_length to max_length characters out of a charset.
struct Text {
  std::uint64_t min_length = 1;
  std::uint64_t max_length = 1;
  std::string charset;

  /// A negative length comes to a min_length above max_length, which is refused.
  explicit Text(std::int64_t most, std::int64_t least = 1,
                std::string its_charset = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
      : min_length(static_cast<std::uint64_t>(least)),
        max_length(most < 0 ? 0 : static_cast<std::uint64_t>(most)),
        charset(std::move(its_charset)) {
    if (most < 0) min_length = 1;
  }
};

struct Tuple {
  std::vector<Space> members;
};

/// Members with names, in this order: `spaces::Dict{{"a", spaces::Discrete(2)}, {"b", …}}`.
struct Dict {
  std::vector<std::pair<Value, Space>> members;

  Dict(std::initializer_list<std::pair<Value, Space>> its_members);
  explicit Dict(std::vector<std::pair<Value, Space>> its_members);
};

/// Tuples of any length of elements of one space; if `stack`, their batch as one array.
struct Sequence {
  std::shared_ptr<const Space> space;
  bool stack = false;

  explicit Sequence(Space its_space, bool is_stacked = false);
};

/// Graphs whose nodes, and edges if there is a space for them, are of these spaces.
struct Graph {
  std::shared_ptr<const Space> node;
  std::shared_ptr<const Space> edge;  ///< may be null

  explicit Graph(Space its_node);
  Graph(Space its_node, Space its_edge);
};

/// An element of one of several spaces: a Tuple of its index, as a Scalar of int64, and the element.
struct OneOf {
  std::vector<Space> members;
};

}  // namespace spaces

/// Any space. Each of `rlay::spaces` converts to it.
class Space {
 public:
  /// In the order of the wire's tags.
  using Content = std::variant<spaces::Box, spaces::Discrete, spaces::MultiBinary, spaces::MultiDiscrete, spaces::Text,
                               spaces::Tuple, spaces::Dict, spaces::Sequence, spaces::Graph, spaces::OneOf>;

  template <class T, std::enable_if_t<!std::is_same_v<std::decay_t<T>, Space> &&
                                          std::is_constructible_v<Content, std::in_place_type_t<std::decay_t<T>>, T>,
                                      int> = 0>
  Space(T&& space) : content_(std::in_place_type<std::decay_t<T>>, std::forward<T>(space)) {}

  template <class T>
  const T* as() const {
    return std::get_if<T>(&content_);
  }
  const Content& content() const { return content_; }

 private:
  Content content_;
};

inline spaces::Dict::Dict(std::initializer_list<std::pair<Value, Space>> its_members) : members(its_members) {}
inline spaces::Dict::Dict(std::vector<std::pair<Value, Space>> its_members) : members(std::move(its_members)) {}
inline spaces::Sequence::Sequence(Space its_space, bool is_stacked)
    : space(std::make_shared<const Space>(std::move(its_space))), stack(is_stacked) {}
inline spaces::Graph::Graph(Space its_node) : node(std::make_shared<const Space>(std::move(its_node))) {}
inline spaces::Graph::Graph(Space its_node, Space its_edge)
    : node(std::make_shared<const Space>(std::move(its_node))),
      edge(std::make_shared<const Space>(std::move(its_edge))) {}

namespace detail {

/// The element at `from` as an integer in the order of the elements; what is not a number lies beyond both infinities.
inline std::int64_t rank(Dtype dtype, const std::uint8_t* from) {
  constexpr std::int64_t lowest = (std::numeric_limits<std::int64_t>::min)();
  if (dtype == Dtype::uint64) return load<std::int64_t>(from) ^ lowest;
  if (dtype < Dtype::float16) return element<std::int64_t>(dtype, from);
  std::uint8_t bytes[8] = {};
  store<double>(bytes, element<double>(dtype, from));
  const auto bits = load<std::int64_t>(bytes);
  return bits < 0 ? lowest - bits : bits;
}

/// Why Gymnasium refuses the bounds of a Box, or nullptr.
inline const char* refuse_bounds(const spaces::Box& box) {
  const std::size_t size = size_of(box.dtype);
  const std::size_t lows = box.low.values.size() / size;
  const std::size_t highs = box.high.values.size() / size;
  const bool fit_each_other = lows == 1 || highs == 1 || lows == highs;
  if (lows == 0 || highs == 0 || !fit_each_other) return nullptr;  // Writer refuses what does not fit the shape
  constexpr std::int64_t infinity = 0x7ff0000000000000;
  for (std::size_t i = 0; i < lows || i < highs; ++i) {
    const std::int64_t low = rank(box.dtype, box.low.values.data() + (lows == 1 ? 0 : i) * size);
    const std::int64_t high = rank(box.dtype, box.high.values.data() + (highs == 1 ? 0 : i) * size);
    const bool are_numbers = low >= -infinity && low < infinity && high > -infinity && high <= infinity;
    if (box.dtype >= Dtype::float16 && !are_numbers) {
      return "a Box with a bound that is NaN, a low bound of inf or a high one of -inf";
    }
    if (low > high) return "a Box whose low bound is above the high one";
  }
  return nullptr;
}

/// Why Gymnasium refuses a space that can be sent, or nullptr.
inline const char* refuse_space(const Space& space) {
  if (const auto* box = space.as<spaces::Box>()) return refuse_bounds(*box);
  std::vector<const Space*> members;
  if (const auto* tuple = space.as<spaces::Tuple>()) {
    for (const Space& member : tuple->members) members.push_back(&member);
  }
  if (const auto* one_of = space.as<spaces::OneOf>()) {
    for (const Space& member : one_of->members) members.push_back(&member);
  }
  if (const auto* dict = space.as<spaces::Dict>()) {
    for (std::size_t i = 0; i < dict->members.size(); ++i) {
      members.push_back(&dict->members[i].second);
      for (std::size_t j = 0; j < i; ++j) {
        if (dict->members[i].first == dict->members[j].first) return "a Dict space in which a key is there twice";
      }
    }
  }
  if (const auto* sequence = space.as<spaces::Sequence>()) members.push_back(sequence->space.get());
  if (const auto* graph = space.as<spaces::Graph>()) members = {graph->node.get(), graph->edge.get()};
  for (const Space* member : members) {
    const char* why = member == nullptr ? nullptr : refuse_space(*member);
    if (why != nullptr) return why;
  }
  return nullptr;
}

}  // namespace detail

}  // namespace rlay

#endif
