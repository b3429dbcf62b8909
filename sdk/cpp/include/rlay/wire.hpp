/// \file
/// Holds how RLay's messages are written and read: bytes, payloads, messages, proofs of a token, frames of a stream
/// (docs/wire.md, sections 1 to 9). Most programs need none of it: codec.hpp has the session that uses it.
///
/// \code
/// rlay::Bytes bytes;
/// rlay::Writer writer(bytes);
/// writer.value(rlay::Dict{{"lives", 3}});
/// rlay::Reader reader(bytes.data(), bytes.size());
/// rlay::Value value = reader.value();  // if reader.ok()
/// \endcode
#ifndef RLAY_WIRE_HPP
#define RLAY_WIRE_HPP

#include "values.hpp"

namespace rlay {

// ---------------------------------------------------------------------------------------------------------------------
// Bytes and what they mean (sections 3 to 6)

/// What a frame may hold (section 12).
namespace limits {
constexpr std::uint64_t frame = std::uint64_t{64} << 20;  ///< the default of Options::max_frame
constexpr std::uint64_t handshake = 65536;                ///< of a handshake, and the lowest max_frame
constexpr std::uint32_t depth = 32;
constexpr std::uint32_t count = 1U << 20;
constexpr std::uint32_t keys = 4096;  ///< keys that are neither texts nor small ints
constexpr std::uint64_t key = 256;    ///< bytes of such a key
constexpr std::uint64_t seed = 4096;
constexpr std::size_t text = 16384;  ///< of each text in an Error that is sent
}  // namespace limits

namespace detail {

/// The length of the longest prefix of well-formed UTF-8.
inline std::size_t utf8_prefix(std::string_view text) {
  const auto byte = [text](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<std::uint8_t>(text[i]) : 0;
  };
  const auto follows = [byte](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  std::size_t i = 0;
  while (i < text.size()) {
    const unsigned first = byte(i);
    const unsigned second = byte(i + 1);
    if (first < 0x80) {
      i += 1;
    } else if (first >= 0xc2 && first < 0xe0 && follows(i + 1)) {
      i += 2;
    } else if (first >= 0xe0 && first < 0xf0 && follows(i + 1) && follows(i + 2) && !(first == 0xe0 && second < 0xa0) &&
               !(first == 0xed && second >= 0xa0)) {
      i += 3;
    } else if (first >= 0xf0 && first < 0xf5 && follows(i + 1) && follows(i + 2) && follows(i + 3) &&
               !(first == 0xf0 && second < 0x90) && !(first == 0xf4 && second >= 0x90)) {
      i += 4;
    } else {
      break;
    }
  }
  return i;
}

inline bool is_utf8(std::string_view text) { return utf8_prefix(text) == text.size(); }

/// Makes any bytes well-formed UTF-8 of at most `most` bytes, and marks where the text was cut.
inline std::string clean(std::string_view text, std::size_t most) {
  std::string good;
  while (!text.empty() && good.size() <= most) {
    const std::size_t n = utf8_prefix(text.substr(0, most + 4));
    good.append(text.substr(0, n));
    if (n == 0) good.push_back('?');
    text.remove_prefix(n == 0 ? 1 : n);
  }
  if (good.size() > most) {
    constexpr std::string_view mark = " [cut]";
    good.resize(utf8_prefix(std::string_view(good).substr(0, most - mark.size())));
    good.append(mark);
  }
  return good;
}

/// How many bytes the character at the start of well-formed text takes if it acts on a terminal, breaks a line or turns
/// the direction of text; 0 if it does not.
inline std::size_t control_size(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  if (byte(0) < 0x20 || byte(0) == 0x7f) return 1;
  // U+0080 to U+009F.
  if (byte(0) == 0xc2 && byte(1) < 0xa0) return 2;
  if (byte(0) != 0xe2) return 0;
  // U+2028 to U+202E, and U+2066 to U+2069.
  const bool is_control = (byte(1) == 0x80 && byte(2) >= 0xa8 && byte(2) <= 0xae) ||
                          (byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9);
  return is_control ? 3 : 0;
}

/// A text of a peer on one line of a log.
inline std::string printable(std::string_view text) {
  const std::string good = clean(text, 1000);
  std::string line;
  for (std::size_t i = 0; i < good.size();) {
    const std::size_t n = control_size(std::string_view(good).substr(i));
    line.push_back(n > 0 ? ' ' : good[i]);
    i += n > 0 ? n : 1;
  }
  return line;
}

inline bool is_hashable(const Value& key) {
  if (const auto* tuple = key.as<Tuple>()) {
    for (const Value& item : tuple->items) {
      if (!is_hashable(item)) return false;
    }
    return true;
  }
  return key.as<List>() == nullptr && key.as<Dict>() == nullptr && key.as<NdArray>() == nullptr &&
         key.as<GraphInstance>() == nullptr;
}

/// Whether a key's place in a hash table cannot be chosen.
inline bool is_plain_key(const Value& key) {
  if (const auto* number = key.as<std::int64_t>()) return *number >= 0 && *number < 16384;
  return key.as<std::string>() != nullptr;
}

/// Whether an int was written in more bytes than hold it, or fits into 64 bits.
inline bool is_too_long(const Bytes& big) {
  if (big.size() < 9) return true;
  const std::uint8_t last = big[big.size() - 1];
  const bool is_negative = (big[big.size() - 2] & 0x80) != 0;
  return (last == 0 && !is_negative) || (last == 0xff && is_negative);
}

}  // namespace detail

/// Reads the bytes of a frame. After the first thing that is malformed everything it returns is zero or empty, and
/// error() says what it was; so it is enough to look at ok() where a loop or an allocation depends on it.
class Reader {
 public:
  Reader(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  bool ok() const { return error_ == nullptr; }
  /// What is malformed.
  const char* error() const { return error_ == nullptr ? "" : error_; }
  void fail(const char* why) {
    if (error_ == nullptr) error_ = why;
  }
  std::size_t position() const { return at_; }
  std::size_t left() const { return ok() ? size_ - at_ : 0; }

  /// The next n bytes, or nullptr if there are fewer.
  const std::uint8_t* take(std::uint64_t n) {
    if (n > left()) fail("it ends too early");
    if (!ok()) return nullptr;
    at_ += static_cast<std::size_t>(n);
    return data_ + at_ - n;
  }
  template <class T>
  T number() {
    const std::uint8_t* bytes = take(sizeof(T));
    return bytes == nullptr ? T{} : detail::load<T>(bytes);
  }
  std::uint8_t u8() { return number<std::uint8_t>(); }
  std::uint16_t u16() { return number<std::uint16_t>(); }
  std::uint32_t u32() { return number<std::uint32_t>(); }
  std::uint64_t u64() { return number<std::uint64_t>(); }
  std::int64_t i64() { return number<std::int64_t>(); }
  bool boolean() {
    const std::uint8_t byte = u8();
    if (byte > 1) fail("a bool is neither 0 nor 1");
    return byte == 1;
  }
  Bytes bytes(std::uint64_t most = (std::numeric_limits<std::uint64_t>::max)()) {
    const std::uint64_t n = u64();
    if (n > most) fail("a text or number is longer than it may be");
    const std::uint8_t* from = take(n);
    return from == nullptr ? Bytes() : Bytes(from, from + n);
  }
  std::string text(std::uint64_t most = (std::numeric_limits<std::uint64_t>::max)()) {
    const std::uint64_t n = u64();
    if (n > most) fail("a text is longer than it may be");
    const auto* from = reinterpret_cast<const char*>(take(n));
    if (from == nullptr || n == 0) return {};
    std::string text(from, static_cast<std::size_t>(n));
    if (!detail::is_utf8(text)) fail("a text is not UTF-8");
    return text;
  }
  std::optional<std::string> optional_text(std::uint64_t most) {
    if (!boolean()) return std::nullopt;
    return text(most);
  }
  Bytes32 bytes32() {
    Bytes32 bytes{};
    if (const std::uint8_t* from = take(bytes.size())) std::memcpy(bytes.data(), from, bytes.size());
    return bytes;
  }
  /// A count of items of at least `size` bytes each, which are there, as far as one can tell.
  std::size_t count(std::size_t size) {
    const std::uint64_t n = u64();
    if (n > left() / size) {
      fail("more items are announced than there are bytes");
      return 0;
    }
    return static_cast<std::size_t>(n);
  }
  /// The same of items that are counted. More than there may be are refused before any is read.
  std::size_t counted(std::size_t size) {
    const std::size_t n = count(size);
    if (n > count_) fail("it holds too many values");
    return ok() ? n : 0;
  }
  std::vector<std::uint32_t> slots() {
    std::vector<std::uint32_t> slots(count(4));
    for (std::uint32_t& slot : slots) slot = u32();
    return slots;
  }
  void zeros(std::size_t n) {
    const std::uint8_t* bytes = take(n);
    for (std::size_t i = 0; bytes != nullptr && i < n; ++i) {
      if (bytes[i] != 0) fail("padding is not zero");
    }
  }
  void end() {
    if (left() != 0) fail("bytes follow its end");
  }
  /// Enters a level of what is counted and bounded in depth.
  bool enter() {
    if (depth_ == 0) fail("it is nested too deep");
    if (count_ == 0) fail("it holds too many values");
    if (!ok()) return false;
    --depth_;
    --count_;
    return true;
  }
  void leave() { ++depth_; }

  Dtype dtype(bool& is_big_endian) {
    const std::uint32_t code = u32();
    is_big_endian = (code & 0x100) != 0;
    const std::uint32_t type = code & ~std::uint32_t{0x100};
    if (type > 11) {
      fail("unknown dtype");
      return Dtype::boolean;
    }
    if (is_big_endian && size_of(static_cast<Dtype>(type)) == 1) fail("one byte has no byte order");
    return static_cast<Dtype>(type);
  }
  Shape shape() {
    const std::size_t n = count(8);
    if (n > 64) fail("an array has more than 64 dimensions");
    Shape shape(ok() ? n : 0);
    for (std::uint64_t& dimension : shape) dimension = u64();
    return shape;
  }
  /// `size` bytes of elements.
  const std::uint8_t* elements(Dtype dtype, std::uint64_t size) {
    const std::uint8_t* bytes = take(size);
    for (std::uint64_t i = 0; bytes != nullptr && dtype == Dtype::boolean && i < size; ++i) {
      if (bytes[i] > 1) fail("a bool is neither 0 nor 1");
    }
    return bytes;
  }
  Value value() {
    if (!enter()) return {};
    Value value = bare_value();
    leave();
    return value;
  }
  /// A value that has to be a Dict.
  Dict dict() {
    Value value = this->value();
    auto* dict = value.as<Dict>();
    if (dict == nullptr) fail("a value that has to be a dict is none");
    return dict == nullptr ? Dict() : std::move(*dict);
  }
  Value key() {
    const std::size_t start = at_;
    Value key = value();
    if (!detail::is_hashable(key)) fail("a key that no dict can have");
    if (!detail::is_plain_key(key)) {
      if (at_ - start > limits::key && key.as<Opaque>() == nullptr) fail("a key is too long");
      if (keys_ == 0) fail("too many keys that are neither texts nor small ints");
      if (keys_ > 0) --keys_;
    }
    return key;
  }

 private:
  Value bare_value() {
    switch (u32()) {
      case 0: return {};
      case 1: return boolean();
      case 2: return i64();
      case 3: {
        BigInt big{bytes()};
        if (detail::is_too_long(big.bytes)) fail("a large int is not in its shortest form");
        return big;
      }
      case 4: return number<double>();
      case 5: return text();
      case 6: return bytes();
      case 7: return List{items()};
      case 8: return Tuple{items()};
      case 9: {
        Dict dict;
        for (std::size_t n = counted(8); n > 0 && ok(); --n) {
          Value name = key();
          dict.entries_.push_back({std::move(name), value()});
        }
        return dict;
      }
      case 10: {
        NdArray array;
        array.dtype = dtype(array.big_endian);
        array.shape = shape();
        const auto size = detail::array_size(array.shape, size_of(array.dtype));
        if (size != u64()) fail("an array whose shape does not hold its data");
        const std::uint8_t* from = elements(array.dtype, size.value_or(0));
        if (from != nullptr) array.data.assign(from, from + *size);
        return array;
      }
      case 11: {
        Scalar scalar;
        scalar.dtype = dtype(scalar.big_endian);
        const std::size_t size = size_of(scalar.dtype);
        if (const std::uint8_t* from = elements(scalar.dtype, size)) std::memcpy(scalar.data.data(), from, size);
        return scalar;
      }
      case 12: {
        Value nodes = value();
        Value edges = value();
        return GraphInstance(std::move(nodes), std::move(edges), value());
      }
      case 13: {
        std::string type_name = text();
        return Opaque{std::move(type_name), text()};
      }
      default: fail("unknown value"); return {};
    }
  }
  std::vector<Value> items() {
    std::vector<Value> items;
    for (std::size_t n = counted(4); n > 0 && ok(); --n) items.push_back(value());
    return items;
  }

  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0;
  std::uint32_t depth_ = limits::depth;
  std::uint32_t count_ = limits::count;
  std::uint32_t keys_ = limits::keys;
  const char* error_ = nullptr;
};

/// Appends what a frame holds. It goes on after what cannot be sent; error() says then what it was.
class Writer {
 public:
  explicit Writer(Bytes& out) : out_(out) {}

  bool allows_opaque = true;  ///< false for what the peer has to read: observations

  bool ok() const { return error_ == nullptr; }
  const char* error() const { return error_ == nullptr ? "" : error_; }
  void fail(const char* why) {
    if (error_ == nullptr) error_ = why;
  }
  Bytes& out() { return out_; }

  void raw(const std::uint8_t* bytes, std::size_t n) { out_.insert(out_.end(), bytes, bytes + n); }
  template <class T>
  void number(T x) {
    std::uint8_t bytes[sizeof(T)];
    detail::store<T>(bytes, x);
    raw(bytes, sizeof(T));
  }
  void u8(std::uint8_t x) { out_.push_back(x); }
  void u16(std::uint16_t x) { number(x); }
  void u32(std::uint32_t x) { number(x); }
  void u64(std::uint64_t x) { number(x); }
  void i64(std::int64_t x) { number(x); }
  void boolean(bool x) { u8(x ? 1 : 0); }
  void zeros(std::size_t n) { out_.resize(out_.size() + n); }
  void bytes(const Bytes& x) {
    u64(x.size());
    raw(x.data(), x.size());
  }
  void text(std::string_view x) {
    if (!detail::is_utf8(x)) fail("a text is not UTF-8");
    u64(x.size());
    out_.insert(out_.end(), x.begin(), x.end());
  }
  void optional_text(const std::optional<std::string>& x) {
    boolean(x.has_value());
    if (x) text(*x);
  }
  void bytes32(const Bytes32& x) { raw(x.data(), x.size()); }
  void slots(const std::vector<std::uint32_t>& x) {
    u64(x.size());
    for (const std::uint32_t slot : x) u32(slot);
  }
  void dtype(Dtype dtype, bool is_big_endian) {
    if (is_big_endian && size_of(dtype) == 1) fail("a dtype of one byte has no byte order");
    u32(static_cast<std::uint32_t>(dtype) | (is_big_endian ? 0x100U : 0));
  }
  void shape(const Shape& shape) {
    u64(shape.size());
    for (const std::uint64_t n : shape) u64(n);
  }

  void value(const Value& value) {
    if (depth_ == limits::depth) keys_ = limits::keys / 2;
    if (!enter()) return;
    u32(static_cast<std::uint32_t>(value.content().index()));
    if (const auto* flag = value.as<bool>()) boolean(*flag);
    if (const auto* x = value.as<std::int64_t>()) i64(*x);
    if (const auto* big = value.as<BigInt>()) {
      if (detail::is_too_long(big->bytes)) fail("a BigInt is not in its shortest form");
      bytes(big->bytes);
    }
    if (const auto* x = value.as<double>()) number(*x);
    if (const auto* x = value.as<std::string>()) text(*x);
    if (const auto* x = value.as<Bytes>()) bytes(*x);
    if (const auto* list = value.as<List>()) items(list->items);
    if (const auto* tuple = value.as<Tuple>()) items(tuple->items);
    if (const auto* dict = value.as<Dict>()) {
      u64(dict->size());
      for (const Entry& entry : dict->entries()) {
        key(entry.key);
        this->value(entry.value);
      }
    }
    if (const auto* array = value.as<NdArray>()) {
      if (detail::array_size(array->shape, size_of(array->dtype)) != array->data.size()) {
        fail("an array has not as many elements as its shape says");
      }
      dtype(array->dtype, array->big_endian);
      shape(array->shape);
      bytes(array->data);
    }
    if (const auto* scalar = value.as<Scalar>()) {
      dtype(scalar->dtype, scalar->big_endian);
      raw(scalar->data.data(), size_of(scalar->dtype));
    }
    if (const auto* graph = value.as<GraphInstance>()) {
      this->value(graph->nodes());
      this->value(graph->edges());
      this->value(graph->edge_links());
    }
    if (const auto* opaque = value.as<Opaque>()) {
      if (!allows_opaque) fail("an Opaque stands where the peer has to read its value");
      text(opaque->type_name);
      text(opaque->repr);
    }
    leave();
  }

  void space(const Space& space) {
    if (depth_ == limits::depth) keys_ = limits::keys / 2;
    if (!enter()) return;
    u32(static_cast<std::uint32_t>(space.content().index()));
    if (const auto* box = space.as<spaces::Box>()) {
      dtype(box->dtype, box->big_endian);
      shape(box->shape);
      const std::uint64_t bytes = space_size(box->shape, size_of(box->dtype));
      bound(box->low, bytes, size_of(box->dtype));
      bound(box->high, bytes, size_of(box->dtype));
    }
    if (const auto* discrete = space.as<spaces::Discrete>()) {
      if (discrete->n == 0 || !is_integer(discrete->dtype)) fail("a Discrete space of no integers");
      dtype(discrete->dtype, false);
      u64(discrete->n);
      i64(discrete->start);
    }
    if (const auto* binary = space.as<spaces::MultiBinary>()) {
      shape(binary->shape);
      space_size(binary->shape, 1);
      boolean(binary->n_is_int);
    }
    if (const auto* multi = space.as<spaces::MultiDiscrete>()) {
      const std::uint64_t n = space_size(multi->shape, 8) / 8;
      if (multi->nvec.size() != n || multi->start.size() != n || !is_integer(multi->dtype)) {
        fail("a MultiDiscrete space whose fields do not fit each other");
      }
      dtype(multi->dtype, multi->big_endian);
      shape(multi->shape);
      u64(multi->nvec.size());
      for (const std::int64_t x : multi->nvec) {
        if (x < 1) fail("a MultiDiscrete space of no integers");
        i64(x);
      }
      u64(multi->start.size());
      for (const std::int64_t x : multi->start) i64(x);
    }
    if (const auto* its = space.as<spaces::Text>()) {
      if (its->min_length > its->max_length) fail("a Text space whose min_length is above its max_length");
      u64(its->min_length);
      u64(its->max_length);
      text(its->charset);
    }
    if (const auto* tuple = space.as<spaces::Tuple>()) spaces_of(tuple->members);
    if (const auto* dict = space.as<spaces::Dict>()) {
      u64(dict->members.size());
      for (const auto& [name, member] : dict->members) {
        key(name);
        this->space(member);
      }
    }
    if (const auto* sequence = space.as<spaces::Sequence>()) {
      boolean(sequence->stack);
      member(sequence->space);
    }
    if (const auto* graph = space.as<spaces::Graph>()) {
      member(graph->node);
      boolean(graph->edge != nullptr);
      if (graph->edge != nullptr) member(graph->edge);
    }
    if (const auto* one_of = space.as<spaces::OneOf>()) {
      if (one_of->members.empty()) fail("a OneOf space of nothing");
      spaces_of(one_of->members);
    }
    leave();
  }

 private:
  /// Writes a member that a space without it, such as one that was moved from, lacks.
  void member(const std::shared_ptr<const Space>& space) {
    if (space == nullptr) return fail("a Sequence or Graph space without its member; was it moved from?");
    this->space(*space);
  }
  bool enter() {
    if (depth_ == 0) fail("a value or space is nested too deep");
    if (count_ == 0) fail("a value or space holds too many others");
    if (depth_ == 0 || count_ == 0) return false;
    --depth_;
    --count_;
    return true;
  }
  void leave() { ++depth_; }
  void items(const std::vector<Value>& items) {
    u64(items.size());
    for (const Value& item : items) value(item);
  }
  void spaces_of(const std::vector<Space>& members) {
    u64(members.size());
    for (const Space& member : members) space(member);
  }
  void key(const Value& key) {
    const std::size_t start = out_.size();
    value(key);
    if (!detail::is_hashable(key)) fail("a key that no dict can have");
    if (detail::is_plain_key(key)) return;
    if (out_.size() - start > limits::key && key.as<Opaque>() == nullptr) fail("a key is too long");
    if (keys_ == 0) fail("a dict has too many keys that are neither texts nor small ints");
    if (keys_ > 0) --keys_;
  }
  std::uint64_t space_size(const Shape& shape, std::uint64_t element_size) {
    const auto size = detail::array_size(shape, element_size);
    if (!size || *size > std::uint64_t{1} << 40) fail("a space is too large");
    return size.value_or(0);
  }
  void bound(const spaces::Bound& bound, std::uint64_t bytes, std::size_t element_size) {
    const std::uint64_t n = bound.is_uniform ? 1 : bytes / element_size;
    if (bound.values.size() != n * element_size || bound.bounded.size() != n) {
      fail("a Box has not as many bounds as its shape says");
    }
    u32(bound.is_uniform ? 0 : 1);
    raw(bound.values.data(), bound.values.size());
    raw(bound.bounded.data(), bound.bounded.size());
  }

  Bytes& out_;
  std::uint32_t depth_ = limits::depth;
  std::uint32_t count_ = limits::count;
  std::uint32_t keys_ = limits::keys / 2;
  const char* error_ = nullptr;
};

// ---------------------------------------------------------------------------------------------------------------------
// Payloads (section 7)

/// Whether the elements of a space have a packed form: whether nothing in it is of variable size.
inline bool has_packed_form(const Space& space) {
  if (const auto* box = space.as<spaces::Box>()) return !box->big_endian;
  if (const auto* multi = space.as<spaces::MultiDiscrete>()) return !multi->big_endian;
  if (const auto* tuple = space.as<spaces::Tuple>()) {
    for (const Space& member : tuple->members) {
      if (!has_packed_form(member)) return false;
    }
    return true;
  }
  if (const auto* dict = space.as<spaces::Dict>()) {
    for (const auto& member : dict->members) {
      if (!has_packed_form(member.second)) return false;
    }
    return true;
  }
  return space.as<spaces::Discrete>() != nullptr || space.as<spaces::MultiBinary>() != nullptr;
}

namespace detail {

/// Dtype and shape of the arrays of a Box, a MultiBinary or a MultiDiscrete that has a packed form.
struct Leaf {
  Dtype dtype;
  const Shape* shape;
};

inline std::optional<Leaf> leaf(const Space& space) {
  if (const auto* binary = space.as<spaces::MultiBinary>()) return Leaf{Dtype::int8, &binary->shape};
  const auto* box = space.as<spaces::Box>();
  if (box != nullptr && !box->big_endian) return Leaf{box->dtype, &box->shape};
  const auto* multi = space.as<spaces::MultiDiscrete>();
  if (multi != nullptr && !multi->big_endian) return Leaf{multi->dtype, &multi->shape};
  return std::nullopt;
}

constexpr std::size_t padding(std::size_t size, std::size_t multiple) {
  return (multiple - size % multiple) % multiple;
}

}  // namespace detail

/// Appends elements of a space in the packed form. Returns false, and leaves anything behind in `out`, if one of them
/// is not exactly what unpacking gives back.
inline bool pack(const Space& space, const std::vector<const Value*>& rows, Bytes& out) {
  Writer writer(out);
  if (const auto leaf = detail::leaf(space)) {
    std::size_t size = 0;
    for (const Value* row : rows) {
      const auto* array = row->as<NdArray>();
      if (array == nullptr || array->dtype != leaf->dtype || array->big_endian || array->shape != *leaf->shape ||
          detail::array_size(array->shape, size_of(array->dtype)) != array->data.size()) {
        return false;
      }
      writer.raw(array->data.data(), array->data.size());
      size += array->data.size();
    }
    writer.zeros(detail::padding(size, 8));
    return true;
  }
  if (const auto* discrete = space.as<spaces::Discrete>()) {
    Bytes marks;
    for (const Value* row : rows) {
      const auto* number = row->as<std::int64_t>();
      const auto* scalar = row->as<Scalar>();
      const bool is_its_scalar = scalar != nullptr && scalar->dtype == discrete->dtype && !scalar->big_endian;
      if (number == nullptr && !is_its_scalar) return false;
      writer.i64(number != nullptr ? *number : scalar->get<std::int64_t>());
      marks.push_back(number != nullptr ? 0 : 1);
    }
    writer.raw(marks.data(), marks.size());
    writer.zeros(detail::padding(marks.size(), 8));
    return true;
  }
  std::vector<const Value*> column(rows.size());
  if (const auto* tuple = space.as<spaces::Tuple>()) {
    for (const Value* row : rows) {
      const auto* items = row->as<Tuple>();
      if (items == nullptr || items->items.size() != tuple->members.size()) return false;
    }
    for (std::size_t i = 0; i < tuple->members.size(); ++i) {
      for (std::size_t row = 0; row < rows.size(); ++row) column[row] = &rows[row]->as<Tuple>()->items[i];
      if (!pack(tuple->members[i], column, out)) return false;
    }
    return true;
  }
  if (const auto* dict = space.as<spaces::Dict>()) {
    for (const Value* row : rows) {
      const auto* entries = row->as<Dict>();
      if (entries == nullptr || entries->size() != dict->members.size()) return false;
    }
    for (std::size_t i = 0; i < dict->members.size(); ++i) {
      for (std::size_t row = 0; row < rows.size(); ++row) {
        const Entry& entry = rows[row]->as<Dict>()->entries()[i];
        if (entry.key != dict->members[i].first) return false;
        column[row] = &entry.value;
      }
      if (!pack(dict->members[i].second, column, out)) return false;
    }
    return true;
  }
  return false;
}

/// Reads one element for each of the `rows`, which have a packed form. What is malformed, `reader` says.
inline void unpack(const Space& space, Reader& reader, std::vector<Value>& rows) {
  if (const auto leaf = detail::leaf(space)) {
    const auto size = static_cast<std::size_t>(detail::array_size(*leaf->shape, size_of(leaf->dtype)).value_or(0));
    for (Value& row : rows) {
      NdArray array;
      array.dtype = leaf->dtype;
      array.shape = *leaf->shape;
      const std::uint8_t* from = reader.elements(leaf->dtype, size);
      if (from == nullptr) return;
      array.data.assign(from, from + size);
      row = std::move(array);
    }
    reader.zeros(detail::padding(rows.size() * size, 8));
  } else if (const auto* discrete = space.as<spaces::Discrete>()) {
    for (Value& row : rows) row = reader.i64();
    for (Value& row : rows) {
      if (!reader.boolean() || !reader.ok()) continue;
      Scalar scalar;
      scalar.dtype = discrete->dtype;
      detail::store<std::int64_t>(scalar.data.data(), *row.as<std::int64_t>());
      std::memset(scalar.data.data() + size_of(scalar.dtype), 0, 8 - size_of(scalar.dtype));
      if (scalar.get<std::int64_t>() != *row.as<std::int64_t>()) {
        reader.fail("a number that the space's dtype does not have");
      }
      row = scalar;
    }
    reader.zeros(detail::padding(rows.size(), 8));
  } else if (const auto* tuple = space.as<spaces::Tuple>()) {
    std::vector<Tuple> all(rows.size());
    std::vector<Value> column(rows.size());
    for (const Space& member : tuple->members) {
      unpack(member, reader, column);
      for (std::size_t i = 0; i < rows.size(); ++i) all[i].items.push_back(std::move(column[i]));
    }
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = std::move(all[i]);
  } else if (const auto* dict = space.as<spaces::Dict>()) {
    std::vector<Dict> all(rows.size());
    std::vector<Value> column(rows.size());
    for (const auto& [name, member] : dict->members) {
      unpack(member, reader, column);
      for (std::size_t i = 0; i < rows.size(); ++i) all[i].entries_.push_back({name, std::move(column[i])});
    }
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = std::move(all[i]);
  } else {
    reader.fail("a packed payload of a space that has no packed form");
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Messages (sections 2 and 8)

enum class Kind : std::uint8_t {
  hello = 0x01, challenge = 0x02, proof = 0x03, welcome = 0x04, reject = 0x05, goodbye = 0x09, error = 0x0a,
  make = 0x20, reset = 0x21, step = 0x22, render = 0x23, attribute = 0x24, close = 0x25, step_agents = 0x30,
  spec = 0x40, result = 0x41, frames = 0x42, returned = 0x43, closed = 0x44, result_agents = 0x50
};

struct Header {
  Kind kind = Kind::goodbye;
  std::uint64_t seq = 0;
  std::uint64_t ack = 0;
  std::uint64_t re = 0;

  static Header read(Reader& reader) {
    constexpr std::uint8_t known[] = {1, 2, 3, 4, 5, 9, 10, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x30,
                                      0x40, 0x41, 0x42, 0x43, 0x44, 0x50};
    const std::uint8_t kind = reader.u8();
    bool is_known = false;
    for (const std::uint8_t code : known) is_known = is_known || code == kind;
    if (!is_known) reader.fail("a frame of an unknown kind");
    reader.zeros(7);
    Header header;
    header.kind = is_known ? static_cast<Kind>(kind) : Kind::goodbye;
    header.seq = reader.u64();
    header.ack = reader.u64();
    header.re = reader.u64();
    return header;
  }
  /// Reads the header of a frame of the handshake, which has no numbers.
  static Header read_of_handshake(Reader& reader) {
    const Header header = read(reader);
    if (header.seq != 0 || header.ack != 0 || header.re != 0) reader.fail("a frame with a number in the handshake");
    return header;
  }
  void write(Writer& writer) const {
    writer.u8(static_cast<std::uint8_t>(kind));
    writer.zeros(7);
    writer.u64(seq);
    writer.u64(ack);
    writer.u64(re);
  }
};

/// What features of Hello and Welcome mean.
constexpr std::uint64_t can_resume = 1;
constexpr std::uint64_t resumes = 2;

/// Names a session that is to be resumed: its ticket, and the number of the last frame received in it.
struct Resumption {
  Bytes32 ticket{};
  std::uint64_t received = 0;
};

struct Hello {
  std::uint16_t wire_min = 0;
  std::uint16_t wire_max = 0;
  std::uint8_t role = 1;  ///< 0 agent, 1 env
  std::uint8_t auth = 0;  ///< 1: by the token
  std::uint64_t features = 0;
  std::uint64_t max_frame = limits::frame;
  std::string peer;
  Bytes32 nonce{};        ///< if auth is 1
  Resumption resumption;  ///< if features has `resumes`

  /// Reads the ten bytes that have this form in every wire number.
  static Hello read_start(Reader& reader) {
    Hello hello;
    const std::uint8_t* magic = reader.take(4);
    if (magic != nullptr && std::memcmp(magic, "RLAY", 4) != 0) reader.fail("no Hello");
    hello.wire_min = reader.u16();
    hello.wire_max = reader.u16();
    hello.role = reader.u8();
    if (hello.role > 1) reader.fail("an unknown role");
    hello.auth = reader.u8();
    return hello;
  }
  void read_rest(Reader& reader) {
    features = reader.u64();
    max_frame = reader.u64();
    peer = reader.text(256);
    if (auth == 1) nonce = reader.bytes32();
    if ((features & resumes) != 0) {
      resumption.ticket = reader.bytes32();
      resumption.received = reader.u64();
    }
    reader.end();
  }
  void write(Writer& writer) const {
    writer.raw(reinterpret_cast<const std::uint8_t*>("RLAY"), 4);
    writer.u16(wire_min);
    writer.u16(wire_max);
    writer.u8(role);
    writer.u8(auth);
    writer.u64(features);
    writer.u64(max_frame);
    writer.text(peer);
    if (auth == 1) writer.bytes32(nonce);
    if ((features & resumes) != 0) {
      writer.bytes32(resumption.ticket);
      writer.u64(resumption.received);
    }
  }
};

struct Welcome {
  std::uint16_t wire = 0;
  std::uint64_t features = 0;
  std::uint64_t max_frame = limits::frame;
  std::string peer;
  std::optional<Bytes32> proof;
  Bytes32 ticket{};            ///< if features has `can_resume`
  std::uint64_t received = 0;  ///< if features has `resumes`

  static Welcome read(Reader& reader) {
    Welcome welcome;
    welcome.wire = reader.u16();
    welcome.features = reader.u64();
    welcome.max_frame = reader.u64();
    welcome.peer = reader.text(256);
    if (reader.boolean()) welcome.proof = reader.bytes32();
    if ((welcome.features & can_resume) != 0) welcome.ticket = reader.bytes32();
    if ((welcome.features & resumes) != 0) welcome.received = reader.u64();
    reader.end();
    return welcome;
  }
  void write(Writer& writer) const {
    writer.u16(wire);
    writer.u64(features);
    writer.u64(max_frame);
    writer.text(peer);
    writer.boolean(proof.has_value());
    if (proof) writer.bytes32(*proof);
    if ((features & can_resume) != 0) writer.bytes32(ticket);
    if ((features & resumes) != 0) writer.u64(received);
  }
};

struct Reject {
  std::uint32_t code = 0;
  std::uint16_t wire_min = 0;
  std::uint16_t wire_max = 0;
  std::string message;

  static Reject read(Reader& reader) {
    Reject reject;
    reject.code = reader.u32();
    reject.wire_min = reader.u16();
    reject.wire_max = reader.u16();
    reject.message = reader.text();
    reader.end();
    return reject;
  }
  void write(Writer& writer) const {
    writer.u32(code);
    writer.u16(wire_min);
    writer.u16(wire_max);
    writer.text(message);
  }
};

struct Goodbye {
  std::uint32_t code = 0;
  std::string message;

  static Goodbye read(Reader& reader) {
    Goodbye goodbye;
    goodbye.code = reader.u32();
    goodbye.message = reader.text();
    reader.end();
    return goodbye;
  }
  void write(Writer& writer) const {
    writer.u32(code);
    writer.text(message);
  }
};

/// The message Error.
struct Fault {
  std::uint32_t code = 0;
  bool is_fatal = false;
  std::vector<std::uint32_t> slots;
  std::string type;
  std::string message;
  std::string traceback;

  static Fault read(Reader& reader) {
    Fault fault;
    fault.code = reader.u32();
    fault.is_fatal = reader.boolean();
    fault.slots = reader.slots();
    fault.type = reader.text();
    fault.message = reader.text();
    fault.traceback = reader.text();
    reader.end();
    return fault;
  }
  void write(Writer& writer) const {
    writer.u32(code);
    writer.boolean(is_fatal);
    writer.slots(slots);
    writer.text(type);
    writer.text(message);
    writer.text(traceback);
  }
};

/// Which environment an agent wants.
struct Make {
  std::optional<std::string> env_id;  ///< where the program offers several
  Value kwargs = Dict();              ///< a Dict of the names that Options::kwargs allows
  std::optional<std::string> render_mode;
  std::uint32_t slots = 1;     ///< asked for; this client makes one
  std::uint8_t autoreset = 0;  ///< asked for; this client leaves it to the agent

  /// The value of a keyword argument, or nullptr.
  const Value* kwarg(std::string_view name) const {
    const auto* dict = kwargs.as<Dict>();
    return dict == nullptr ? nullptr : dict->find(name);
  }

  static Make read(Reader& reader) {
    Make make;
    make.env_id = reader.optional_text(1024);
    make.kwargs = reader.value();
    make.render_mode = reader.optional_text(256);
    make.slots = reader.u32();
    make.autoreset = reader.u8();
    if (make.autoreset > 2) reader.fail("an unknown autoreset mode");
    reader.end();
    return make;
  }
};

/// The seed of a reset: a non-negative integer of any size.
struct Seed {
  Bytes bytes;  ///< little-endian, without zeros at its end

  /// The lowest 64 bits.
  std::uint64_t low64() const {
    std::uint64_t low = 0;
    for (std::size_t i = 0; i < 8 && i < bytes.size(); ++i) low |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
    return low;
  }
};

struct Reset {
  std::vector<std::pair<std::uint32_t, std::optional<Seed>>> rows;
  Value options;

  static Reset read(Reader& reader) {
    Reset reset;
    for (std::size_t n = reader.counted(5); n > 0 && reader.enter(); --n) {
      const std::uint32_t slot = reader.u32();
      std::optional<Seed> seed;
      if (reader.boolean()) seed = Seed{reader.bytes(limits::seed)};
      if (seed && !seed->bytes.empty() && seed->bytes.back() == 0) reader.fail("a seed with zeros at its end");
      reset.rows.emplace_back(slot, std::move(seed));
      reader.leave();
    }
    reset.options = reader.value();
    reader.end();
    return reset;
  }
};

/// The start of a payload; its reader stands behind it.
struct Payload {
  bool is_packed = false;

  static Payload read(Reader& reader) {
    const std::uint32_t form = reader.u32();
    if (form > 1) reader.fail("an unknown form of a payload");
    if (form != 0) return {false};
    const std::uint64_t length = reader.u64();
    const std::uint32_t pad = reader.u32();
    if (pad >= 64 || (reader.position() + pad) % 64 != 0) reader.fail("a packed payload that is not aligned");
    reader.zeros(pad);
    if (length != reader.left()) reader.fail("a packed payload of another length than announced");
    return {true};
  }
  /// Reads what follows: one element for each of the `rows`.
  void read_rows(Reader& reader, const Space& space, std::vector<Value>& rows) const {
    if (is_packed) {
      unpack(space, reader, rows);
    } else {
      for (Value& row : rows) row = reader.value();
    }
    reader.end();
  }
  /// Appends a whole payload to a frame that starts at `frame_start` of the writer's bytes.
  static void write(Writer& writer, std::size_t frame_start, const Space& space,
                    const std::vector<const Value*>& rows) {
    Bytes& out = writer.out();
    const std::size_t start = out.size();
    writer.u32(0);
    writer.u64(0);
    const std::size_t pad = detail::padding(out.size() + 4 - frame_start, 64);
    writer.u32(static_cast<std::uint32_t>(pad));
    writer.zeros(pad);
    const std::size_t packed = out.size();
    if (pack(space, rows, out)) {
      detail::store<std::uint64_t>(out.data() + start + 4, out.size() - packed);
      return;
    }
    out.resize(start);
    writer.u32(1);
    writer.allows_opaque = false;
    for (const Value* row : rows) writer.value(*row);
  }
};

/// Get, set or call an attribute. This client offers none, but it tells a malformed request from one that it refuses.
struct Attribute {
  std::vector<std::uint32_t> slots;
  std::string name;
  std::uint8_t access = 0;    ///< 0 get, 1 set, 2 call
  std::vector<Value> values;  ///< to set, or the arguments of the call
  Dict kwargs;

  static Attribute read(Reader& reader) {
    Attribute attribute;
    attribute.slots = reader.slots();
    attribute.name = reader.text(256);
    attribute.access = reader.u8();
    if (attribute.access > 2) reader.fail("an unknown access to an attribute");
    if (attribute.access > 0) {
      for (std::size_t n = reader.counted(4); n > 0 && reader.ok(); --n) attribute.values.push_back(reader.value());
    }
    if (attribute.access == 1 && attribute.values.size() != attribute.slots.size()) {
      reader.fail("not one value for each slot");
    }
    if (attribute.access == 2) attribute.kwargs = reader.dict();
    for (const Entry& entry : attribute.kwargs.entries()) {
      if (entry.key.as<std::string>() == nullptr) reader.fail("a keyword that is no text");
    }
    reader.end();
    return attribute;
  }
};

/// What was made: the answer to Make.
struct Spec {
  Space observation_space;
  Space action_space;
  Dict metadata;         ///< Gymnasium's `metadata`; an empty one stands for Gymnasium's default, no `render_modes`
  Dict details;          ///< `reward_threshold`, `nondeterministic`, `max_episode_steps`, as far as they are set
  std::string env_id{};  ///< may be empty
};

/// What an environment returns from reset.
struct ResetResult {
  Value observation;
  Dict info{};
};

/// What an environment returns from step.
struct StepResult {
  Value observation;
  double reward = 0.0;
  bool terminated = false;  ///< the episode has ended by the rules of the environment
  bool truncated = false;   ///< the episode was ended by something else, such as a limit of time
  Dict info{};
};

// ---------------------------------------------------------------------------------------------------------------------
// Proofs of a token (section 9)

/// SHA-256 (FIPS 180-4).
class Sha256 {
 public:
  Sha256& add(const std::uint8_t* data, std::size_t size) {
    length_ += size;
    for (std::size_t i = 0; i < size; ++i) {
      block_[used_++] = data[i];
      if (used_ == block_.size()) digest_block();
    }
    return *this;
  }
  Sha256& add(std::string_view text) { return add(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()); }
  Sha256& add(const Bytes& bytes) { return add(bytes.data(), bytes.size()); }
  Sha256& add(const Bytes32& bytes) { return add(bytes.data(), bytes.size()); }

  Bytes32 finish() {
    const std::uint64_t bits = length_ * 8;
    const std::uint8_t one = 0x80;
    const std::uint8_t zero = 0;
    add(&one, 1);
    while (used_ != 56) add(&zero, 1);
    for (unsigned i = 0; i < 8; ++i) block_[56 + i] = static_cast<std::uint8_t>(bits >> (56 - 8 * i));
    digest_block();
    Bytes32 digest{};
    for (unsigned i = 0; i < 32; ++i) digest[i] = static_cast<std::uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
    return digest;
  }

 private:
  static std::uint32_t rotated(std::uint32_t x, unsigned n) { return x >> n | x << (32 - n); }

  void digest_block() {
    static constexpr std::uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    std::uint32_t w[64];
    for (unsigned i = 0; i < 16; ++i) {
      w[i] = static_cast<std::uint32_t>(block_[4 * i]) << 24 | static_cast<std::uint32_t>(block_[4 * i + 1]) << 16 |
             static_cast<std::uint32_t>(block_[4 * i + 2]) << 8 | block_[4 * i + 3];
    }
    for (unsigned i = 16; i < 64; ++i) {
      const std::uint32_t s0 = rotated(w[i - 15], 7) ^ rotated(w[i - 15], 18) ^ w[i - 15] >> 3;
      const std::uint32_t s1 = rotated(w[i - 2], 17) ^ rotated(w[i - 2], 19) ^ w[i - 2] >> 10;
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    std::array<std::uint32_t, 8> v = state_;
    for (unsigned i = 0; i < 64; ++i) {
      const std::uint32_t s1 = rotated(v[4], 6) ^ rotated(v[4], 11) ^ rotated(v[4], 25);
      const std::uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
      const std::uint32_t s0 = rotated(v[0], 2) ^ rotated(v[0], 13) ^ rotated(v[0], 22);
      const std::uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
      v = {t1 + t2, v[0], v[1], v[2], v[3] + t1, v[4], v[5], v[6]};
    }
    for (unsigned i = 0; i < 8; ++i) state_[i] += v[i];
    used_ = 0;
  }

  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, 64> block_{};
  std::size_t used_ = 0;
  std::uint64_t length_ = 0;
};

/// The proof that `role`, "rlay dialer" or "rlay listener", knows the token: HMAC-SHA256 (RFC 2104) over both frames.
inline Bytes32 prove(std::string_view token, std::string_view role, const Bytes& hello, const Bytes& challenge) {
  Bytes length;
  Writer(length).u64(token.size());
  const Bytes32 key = Sha256().add(length).add(token).finish();
  std::array<std::uint8_t, 64> inner{};
  std::array<std::uint8_t, 64> outer{};
  for (std::size_t i = 0; i < 64; ++i) {
    const std::uint8_t byte = i < key.size() ? key[i] : 0;
    inner[i] = byte ^ 0x36;
    outer[i] = byte ^ 0x5c;
  }
  const Bytes32 digest = Sha256().add(inner.data(), 64).add(role).add(hello).add(challenge).finish();
  return Sha256().add(outer.data(), 64).add(digest).finish();
}

/// Compares secrets in a time that does not depend on them.
inline bool is_same_secret(const Bytes32& a, const Bytes32& b) {
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned>(a[i] ^ b[i]);
  return difference == 0;
}

/// Why a token cannot be used, or nothing. It needs eight characters that are visible.
inline Error refuse_token(const std::string& token) {
  std::size_t visible = 0;
  for (const char c : token) {
    const auto byte = static_cast<std::uint8_t>(c);
    // Every character but for the bytes of UTF-8 that continue one.
    if (byte > 0x20 && byte != 0x7f && (byte & 0xc0) != 0x80) ++visible;
  }
  if (!detail::is_utf8(token)) return {Code::usage, "the token is not UTF-8", {}, {}};
  if (visible < 8) return {Code::usage, "the token has less than eight visible characters", {}, {}};
  return {};
}

// ---------------------------------------------------------------------------------------------------------------------
// Streams (section 1)

/// Cuts a stream of bytes into frames.
class FrameReader {
 public:
  enum class Found { nothing, frame, close_mark, too_long };
  struct Frame {
    const std::uint8_t* data = nullptr;
    std::size_t size = 0;
  };

  void receive(const std::uint8_t* data, std::size_t size) {
    if (at_ > 0) {
      buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(at_));
      at_ = 0;
    }
    buffer_.insert(buffer_.end(), data, data + size);
  }
  /// Takes the next frame out; it is there until receive is called. `limit` is the longest frame that may come.
  Found next(std::uint64_t limit, Frame& frame) {
    const std::size_t left = buffer_.size() - at_;
    if (left < 4) return Found::nothing;
    const auto length = detail::load<std::uint32_t>(buffer_.data() + at_);
    if (length == 0xffffffff) return Found::close_mark;
    if (length > limit) return Found::too_long;
    if (left - 4 < length) return Found::nothing;
    frame = {buffer_.data() + at_ + 4, length};
    at_ += 4 + std::size_t{length};
    return Found::frame;
  }
  /// Names the protocol of a peer whose stream begins with no frame, as far as its first bytes tell.
  std::string foreign() const {
    if (buffer_.size() - at_ < 4) return {};
    const std::string word(buffer_.begin() + static_cast<std::ptrdiff_t>(at_),
                           buffer_.begin() + static_cast<std::ptrdiff_t>(at_ + 4));
    if ((word[0] == 0x15 || word[0] == 0x16) && word[1] == 3) return "; this is a TLS peer: use tcp:// at both ends";
    for (const char* known : {"GET ", "POST", "HEAD", "PUT ", "OPTI", "HTTP", "PRI "}) {
      if (word == known) return "; this is an HTTP peer: check address and port";
    }
    return {};
  }
  /// Whether the stream stops between two frames.
  bool is_between_frames() const { return at_ == buffer_.size(); }

 private:
  Bytes buffer_;
  std::size_t at_ = 0;
};

namespace detail {

/// Begins a frame of a stream: its length, which finish_frame writes, and its header.
inline void begin_frame(Bytes& out, const Header& header) {
  Writer writer(out);
  writer.u32(0);
  header.write(writer);
}
inline void finish_frame(Bytes& out) { store<std::uint32_t>(out.data(), static_cast<std::uint32_t>(out.size() - 4)); }

/// A frame of the handshake on a stream.
template <class Message>
Bytes handshake_frame(Kind kind, const Message& message) {
  Bytes out;
  begin_frame(out, {kind, 0, 0, 0});
  Writer writer(out);
  message.write(writer);
  finish_frame(out);
  return out;
}
/// Challenge and Proof: 32 bytes.
struct Secret {
  Bytes32 bytes{};
  void write(Writer& writer) const { writer.bytes32(bytes); }
};

/// The frame without its length.
inline Bytes without_length(const Bytes& framed) { return {framed.begin() + 4, framed.end()}; }

inline Error error_of(std::uint32_t code, const std::string& message) {
  const bool is_sent = (code >= 1 && code <= 10 && code != 6) || code == 13;
  return {is_sent ? static_cast<Code>(code) : Code::protocol, printable(message), {}, {}};
}

}  // namespace detail

}  // namespace rlay

#endif
