// Reads golden vectors from the standard input and answers each with a line: see sdk/tests/GAME.md, "The vectors".
//
// The client reads no spaces and writes no requests; what is needed for that is here.
#include <iostream>
#include <sstream>

#include "rlay/codec.hpp"

namespace {

using rlay::Bytes;
using rlay::Reader;
using rlay::Space;
using rlay::Value;
using rlay::Writer;
namespace spaces = rlay::spaces;

std::string hex(const std::uint8_t* data, std::size_t size) {
  constexpr const char* digits = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    text += digits[data[i] >> 4];
    text += digits[data[i] & 15];
  }
  return text;
}
std::string hex(const Bytes& bytes) { return hex(bytes.data(), bytes.size()); }

Bytes unhex(const std::string& text) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

// JSON

std::string quoted(const std::string& text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (static_cast<std::uint8_t>(c) < 0x20) {
      const auto byte = static_cast<std::uint8_t>(c);
      json += "\\u00" + hex(&byte, 1);
    } else {
      json += c;
    }
  }
  return json + "\"";
}

template <class Items, class Show>
std::string list(const Items& items, Show show) {
  std::string json;
  for (const auto& item : items) json += (json.empty() ? "" : ", ") + show(item);
  return "[" + json + "]";
}
template <class T>
std::string numbers(const T& items) {
  return list(items, [](auto n) { return std::to_string(n); });
}
std::string boolean(bool x) { return x ? "true" : "false"; }
std::string optional(const std::optional<std::string>& text) { return text ? quoted(*text) : "null"; }

std::string bits(double x) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &x, sizeof x);
  std::uint8_t bytes[8];
  for (unsigned i = 0; i < 8; ++i) bytes[i] = static_cast<std::uint8_t>(bits >> (56 - 8 * i));
  return "\"" + hex(bytes, 8) + "\"";
}

std::string dtype(rlay::Dtype dtype) {
  constexpr const char* names[] = {"bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f16", "f32", "f64"};
  return quoted(names[static_cast<std::size_t>(dtype)]);
}

std::string array(rlay::Dtype type, bool big_endian, const rlay::Shape& shape, const std::string& data) {
  return "{\"dtype\": " + dtype(type) + ", \"big_endian\": " + boolean(big_endian) + ", \"shape\": " + numbers(shape) +
         ", \"data\": \"" + data + "\"}";
}

std::string json(const Value& value) {
  const auto of = [](const std::string& name, const std::string& content) {
    return "{\"" + name + "\": " + content + "}";
  };
  if (value.is_none()) return "\"None\"";
  if (const auto* x = value.as<bool>()) return of("Bool", boolean(*x));
  if (const auto* x = value.as<std::int64_t>()) return of("Int", std::to_string(*x));
  if (const auto* x = value.as<rlay::BigInt>()) return of("BigInt", quoted(hex(x->bytes)));
  if (const auto* x = value.as<double>()) return of("Float", bits(*x));
  if (const auto* x = value.as<std::string>()) return of("Str", quoted(*x));
  if (const auto* x = value.as<Bytes>()) return of("Bytes", quoted(hex(*x)));
  if (const auto* x = value.as<rlay::List>()) return of("List", list(x->items, json));
  if (const auto* x = value.as<rlay::Tuple>()) return of("Tuple", list(x->items, json));
  if (const auto* x = value.as<rlay::Dict>()) {
    return of("Dict", list(x->entries(), [](const rlay::Entry& entry) {
                return "[" + json(entry.key) + ", " + json(entry.value) + "]";
              }));
  }
  if (const auto* x = value.as<rlay::NdArray>()) {
    return of("Array", array(x->dtype, x->big_endian, x->shape, hex(x->data)));
  }
  if (const auto* x = value.as<rlay::Scalar>()) {
    return of("Scalar", array(x->dtype, x->big_endian, {}, hex(x->data.data(), rlay::size_of(x->dtype))));
  }
  if (const auto* x = value.as<rlay::GraphInstance>()) {
    return of("Graph", "{\"nodes\": " + json(x->nodes()) + ", \"edges\": " + json(x->edges()) +
                           ", \"edge_links\": " + json(x->edge_links()) + "}");
  }
  const auto* x = value.as<rlay::Opaque>();
  return of("Opaque", "{\"type_name\": " + quoted(x->type_name) + ", \"repr\": " + quoted(x->repr) + "}");
}

std::string json(const spaces::Bound& bound) {
  if (bound.is_uniform) {
    return "{\"Uniform\": {\"value\": \"" + hex(bound.values) + "\", \"bounded\": " +
           boolean(bound.bounded[0] != 0) + "}}";
  }
  return "{\"Each\": {\"values\": \"" + hex(bound.values) +
         "\", \"bounded\": " + list(bound.bounded, [](std::uint8_t x) { return boolean(x != 0); }) + "}}";
}

std::string json_space(const Space& space) {
  if (const auto* x = space.as<spaces::Box>()) {
    return "{\"Box\": {\"dtype\": " + dtype(x->dtype) + ", \"big_endian\": " + boolean(x->big_endian) +
           ", \"shape\": " + numbers(x->shape) + ", \"low\": " + json(x->low) + ", \"high\": " + json(x->high) + "}}";
  }
  if (const auto* x = space.as<spaces::Discrete>()) {
    return "{\"Discrete\": {\"dtype\": " + dtype(x->dtype) + ", \"n\": " + std::to_string(x->n) +
           ", \"start\": " + std::to_string(x->start) + "}}";
  }
  if (const auto* x = space.as<spaces::MultiBinary>()) {
    return "{\"MultiBinary\": {\"shape\": " + numbers(x->shape) + ", \"n_is_int\": " + boolean(x->n_is_int) + "}}";
  }
  if (const auto* x = space.as<spaces::MultiDiscrete>()) {
    return "{\"MultiDiscrete\": {\"dtype\": " + dtype(x->dtype) + ", \"big_endian\": " + boolean(x->big_endian) +
           ", \"shape\": " + numbers(x->shape) + ", \"nvec\": " + numbers(x->nvec) +
           ", \"start\": " + numbers(x->start) +
           "}}";
  }
  if (const auto* x = space.as<spaces::Text>()) {
    return "{\"Text\": {\"min_length\": " + std::to_string(x->min_length) +
           ", \"max_length\": " + std::to_string(x->max_length) + ", \"charset\": " + quoted(x->charset) + "}}";
  }
  if (const auto* x = space.as<spaces::Tuple>()) return "{\"Tuple\": " + list(x->members, json_space) + "}";
  if (const auto* x = space.as<spaces::Dict>()) {
    return "{\"Dict\": " +
           list(x->members,
                [](const auto& pair) { return "[" + json(pair.first) + ", " + json_space(pair.second) + "]"; }) +
           "}";
  }
  if (const auto* x = space.as<spaces::Sequence>()) {
    return "{\"Sequence\": {\"space\": " + json_space(*x->space) + ", \"stack\": " + boolean(x->stack) + "}}";
  }
  if (const auto* x = space.as<spaces::Graph>()) {
    return "{\"Graph\": {\"node\": " + json_space(*x->node) +
           ", \"edge\": " + (x->edge ? json_space(*x->edge) : "null") +
           "}}";
  }
  return "{\"OneOf\": " + list(space.as<spaces::OneOf>()->members, json_space) + "}";
}

// Spaces that are read

std::uint64_t believable(Reader& reader, const rlay::Shape& shape, std::uint64_t size) {
  const auto bytes = rlay::detail::array_size(shape, size);
  if (!bytes || *bytes > std::uint64_t{1} << 40) reader.fail("a space too large to be believed");
  return bytes.value_or(0);
}

spaces::Bound read_bound(Reader& reader, rlay::Dtype dtype, std::uint64_t bytes) {
  spaces::Bound bound;
  const std::uint32_t tag = reader.u32();
  if (tag > 1) reader.fail("unknown bound");
  bound.is_uniform = tag == 0;
  const std::uint64_t size = bound.is_uniform ? rlay::size_of(dtype) : bytes;
  if (const auto* from = reader.elements(dtype, size)) bound.values.assign(from, from + size);
  const std::uint64_t n = size / rlay::size_of(dtype);
  if (const auto* from = reader.elements(rlay::Dtype::boolean, n)) bound.bounded.assign(from, from + n);
  return bound;
}

Space read_space(Reader& reader);

std::vector<Space> read_spaces(Reader& reader) {
  std::vector<Space> all;
  for (std::size_t n = reader.count(4); n > 0 && reader.ok(); --n) all.push_back(read_space(reader));
  return all;
}

Space read_bare_space(Reader& reader) {
  switch (reader.u32()) {
    case 0: {
      spaces::Box box;
      box.dtype = reader.dtype(box.big_endian);
      box.shape = reader.shape();
      const std::uint64_t bytes = believable(reader, box.shape, rlay::size_of(box.dtype));
      box.low = read_bound(reader, box.dtype, bytes);
      box.high = read_bound(reader, box.dtype, bytes);
      return box;
    }
    case 1: {
      spaces::Discrete discrete(1);
      bool big_endian = false;
      discrete.dtype = reader.dtype(big_endian);
      discrete.n = reader.u64();
      discrete.start = reader.i64();
      if (discrete.n == 0 || big_endian || !rlay::is_integer(discrete.dtype)) reader.fail("a Discrete of no integers");
      return discrete;
    }
    case 2: {
      spaces::MultiBinary binary(0);
      binary.shape = reader.shape();
      believable(reader, binary.shape, 1);
      binary.n_is_int = reader.boolean();
      return binary;
    }
    case 3: {
      spaces::MultiDiscrete multi({});
      multi.dtype = reader.dtype(multi.big_endian);
      multi.shape = reader.shape();
      const std::uint64_t n = believable(reader, multi.shape, 8) / 8;
      for (auto* numbers : {&multi.nvec, &multi.start}) {
        numbers->resize(reader.count(8));
        for (std::int64_t& number : *numbers) number = reader.i64();
        if (numbers->size() != n) reader.fail("fields that do not fit the shape");
      }
      for (const std::int64_t x : multi.nvec) {
        if (x < 1) reader.fail("a MultiDiscrete of no integers");
      }
      if (!rlay::is_integer(multi.dtype)) reader.fail("a MultiDiscrete of no integers");
      return multi;
    }
    case 4: {
      spaces::Text text(1);
      text.min_length = reader.u64();
      text.max_length = reader.u64();
      if (text.min_length > text.max_length) reader.fail("min_length above max_length");
      text.charset = reader.text();
      return text;
    }
    case 5: return spaces::Tuple{read_spaces(reader)};
    case 6: {
      std::vector<std::pair<Value, Space>> members;
      for (std::size_t n = reader.count(8); n > 0 && reader.ok(); --n) {
        Value key = reader.key();
        members.emplace_back(std::move(key), read_space(reader));
      }
      return spaces::Dict(std::move(members));
    }
    case 7: {
      const bool stack = reader.boolean();
      return spaces::Sequence(read_space(reader), stack);
    }
    case 8: {
      Space node = read_space(reader);
      if (!reader.boolean()) return spaces::Graph(std::move(node));
      return spaces::Graph(std::move(node), read_space(reader));
    }
    case 9: {
      spaces::OneOf one_of{read_spaces(reader)};
      if (one_of.members.empty()) reader.fail("a OneOf of nothing");
      return one_of;
    }
    default: reader.fail("unknown space"); return spaces::Discrete(1);
  }
}

Space read_space(Reader& reader) {
  if (!reader.enter()) return spaces::Discrete(1);
  Space space = read_bare_space(reader);
  reader.leave();
  return space;
}

// Frames

struct Frame {
  std::string kind;
  std::string body;
  std::string payload;
  Bytes bytes;  // of the body, written again
};

/// Reads a payload, and writes it again.
void read_payload(Reader& reader, std::size_t rows, Bytes& out, Frame& frame) {
  Writer writer(out);
  if (rlay::Payload::read(reader).is_packed) {
    const std::size_t size = reader.left();
    const std::uint8_t* packed = reader.take(size);
    if (packed == nullptr) return;
    writer.u32(0);
    writer.u64(size);
    const std::size_t pad = rlay::detail::padding(out.size() + 32 + 4, 64);
    writer.u32(static_cast<std::uint32_t>(pad));
    writer.zeros(pad);
    writer.raw(packed, size);
    frame.payload = "{\"Packed\": \"" + hex(packed, size) + "\"}";
    return;
  }
  writer.u32(1);
  std::vector<Value> values(rows);
  for (Value& value : values) {
    value = reader.value();
    writer.value(value);
  }
  reader.end();
  frame.payload = "{\"Values\": " + list(values, [](const Value& value) { return json(value); }) + "}";
}

Frame read_body(rlay::Kind kind, Reader& reader) {
  Frame frame;
  Writer writer(frame.bytes);
  switch (kind) {
    case rlay::Kind::hello: {
      rlay::Hello hello = rlay::Hello::read_start(reader);
      hello.read_rest(reader);
      hello.write(writer);
      const bool resumes = (hello.features & rlay::resumes) != 0;
      frame.kind = "Hello";
      frame.body = "{\"wire_min\": " + std::to_string(hello.wire_min) +
                   ", \"wire_max\": " + std::to_string(hello.wire_max) +
                   ", \"role\": " + (hello.role == 0 ? "\"Agent\"" : "\"Env\"") +
                   ", \"auth\": " + std::to_string(hello.auth) + ", \"features\": " + std::to_string(hello.features) +
                   ", \"max_frame\": " + std::to_string(hello.max_frame) + ", \"peer\": " + quoted(hello.peer) +
                   ", \"nonce\": " + (hello.auth == 1 ? numbers(hello.nonce) : "null") + ", \"resume\": " +
                   (resumes ? "{\"ticket\": " + numbers(hello.resumption.ticket) +
                                  ", \"received\": " + std::to_string(hello.resumption.received) + "}"
                            : "null") +
                   "}";
      break;
    }
    case rlay::Kind::challenge:
    case rlay::Kind::proof: {
      const rlay::Bytes32 secret = reader.bytes32();
      reader.end();
      writer.bytes32(secret);
      const bool is_proof = kind == rlay::Kind::proof;
      frame.kind = is_proof ? "Proof" : "Challenge";
      frame.body = std::string(is_proof ? "{\"proof\": " : "{\"nonce\": ") + numbers(secret) + "}";
      break;
    }
    case rlay::Kind::welcome: {
      const rlay::Welcome welcome = rlay::Welcome::read(reader);
      welcome.write(writer);
      frame.kind = "Welcome";
      frame.body =
          "{\"wire\": " + std::to_string(welcome.wire) + ", \"features\": " + std::to_string(welcome.features) +
          ", \"max_frame\": " + std::to_string(welcome.max_frame) + ", \"peer\": " + quoted(welcome.peer) +
          ", \"proof\": " + (welcome.proof ? numbers(*welcome.proof) : "null") +
          ", \"ticket\": " + ((welcome.features & rlay::can_resume) != 0 ? numbers(welcome.ticket) : "null") +
          ", \"received\": " +
          ((welcome.features & rlay::resumes) != 0 ? std::to_string(welcome.received) : "null") + "}";
      break;
    }
    case rlay::Kind::reject: {
      const rlay::Reject reject = rlay::Reject::read(reader);
      reject.write(writer);
      frame.kind = "Reject";
      frame.body = "{\"code\": " + std::to_string(reject.code) + ", \"wire_min\": " + std::to_string(reject.wire_min) +
                   ", \"wire_max\": " + std::to_string(reject.wire_max) +
                   ", \"message\": " + quoted(reject.message) + "}";
      break;
    }
    case rlay::Kind::goodbye: {
      const rlay::Goodbye goodbye = rlay::Goodbye::read(reader);
      goodbye.write(writer);
      frame.kind = "Goodbye";
      frame.body = "{\"code\": " + std::to_string(goodbye.code) + ", \"message\": " + quoted(goodbye.message) + "}";
      break;
    }
    case rlay::Kind::error: {
      const rlay::Fault fault = rlay::Fault::read(reader);
      fault.write(writer);
      frame.kind = "Error";
      frame.body = "{\"code\": " + std::to_string(fault.code) + ", \"fatal\": " + boolean(fault.is_fatal) +
                   ", \"slots\": " + numbers(fault.slots) + ", \"failure\": {\"error_type\": " + quoted(fault.type) +
                   ", \"message\": " + quoted(fault.message) + ", \"traceback\": " + quoted(fault.traceback) + "}}";
      break;
    }
    case rlay::Kind::make: {
      const rlay::Make make = rlay::Make::read(reader);
      writer.optional_text(make.env_id);
      writer.value(make.kwargs);
      writer.optional_text(make.render_mode);
      writer.u32(make.slots);
      writer.u8(make.autoreset);
      constexpr const char* modes[] = {"Disabled", "NextStep", "SameStep"};
      frame.kind = "Make";
      frame.body = "{\"env_id\": " + optional(make.env_id) + ", \"kwargs\": " + json(make.kwargs) +
                   ", \"render_mode\": " + optional(make.render_mode) + ", \"slots\": " + std::to_string(make.slots) +
                   ", \"autoreset_mode\": " + quoted(reader.ok() ? modes[make.autoreset] : "") + "}";
      break;
    }
    case rlay::Kind::reset: {
      const rlay::Reset reset = rlay::Reset::read(reader);
      writer.u64(reset.rows.size());
      for (const auto& [slot, seed] : reset.rows) {
        writer.u32(slot);
        writer.boolean(seed.has_value());
        if (seed) writer.bytes(seed->bytes);
      }
      writer.value(reset.options);
      frame.kind = "Reset";
      frame.body = "{\"rows\": " + list(reset.rows, [](const auto& row) {
                     return "[" + std::to_string(row.first) + ", " +
                            (row.second ? quoted(hex(row.second->bytes)) : "null") +
                            "]";
                   }) + ", \"options\": " + json(reset.options) + "}";
      break;
    }
    case rlay::Kind::attribute: {
      const rlay::Attribute attribute = rlay::Attribute::read(reader);
      writer.slots(attribute.slots);
      writer.text(attribute.name);
      writer.u8(attribute.access);
      if (attribute.access > 0) writer.u64(attribute.values.size());
      for (const Value& value : attribute.values) writer.value(value);
      if (attribute.access == 2) writer.value(attribute.kwargs);
      std::string access = "\"Get\"";
      const std::string values = list(attribute.values, [](const Value& value) { return json(value); });
      if (attribute.access == 1) access = "{\"Set\": " + values + "}";
      if (attribute.access == 2) {
        access = "{\"Call\": [" + values + ", " + list(attribute.kwargs.entries(), [](const rlay::Entry& entry) {
                   return "[" + json(entry.key) + ", " + json(entry.value) + "]";
                 }) + "]}";
      }
      frame.kind = "Attribute";
      frame.body = "{\"slots\": " + numbers(attribute.slots) + ", \"name\": " + quoted(attribute.name) +
                   ", \"access\": " + access + "}";
      break;
    }
    default: {
      const std::vector<std::uint32_t> slots = reader.slots();
      writer.slots(slots);
      frame.kind = kind == rlay::Kind::step ? "Step" : kind == rlay::Kind::render ? "Render" : "Close";
      frame.body = numbers(slots);
      if (kind == rlay::Kind::step) read_payload(reader, slots.size(), frame.bytes, frame);
      reader.end();
    }
  }
  return frame;
}

std::string refused(const Reader& reader) { return std::string("refused ") + reader.error(); }
std::string ok(const std::string& json, const Writer& writer, const Bytes& bytes) {
  return writer.ok() ? "ok " + json + " " + hex(bytes) : std::string("cannot write: ") + writer.error();
}

std::string on_frame(const Bytes& data) {
  Reader reader(data.data(), data.size());
  const rlay::Header header = rlay::Header::read(reader);
  if (!reader.ok()) return refused(reader);
  const bool is_read = header.kind < rlay::Kind::step_agents;
  if (!is_read) return "unread";
  const Frame frame = read_body(header.kind, reader);
  if (!reader.ok()) return refused(reader);
  Bytes again;
  Writer writer(again);
  header.write(writer);
  writer.raw(frame.bytes.data(), frame.bytes.size());
  const std::string payload = frame.payload.empty() ? "" : ", \"payload\": " + frame.payload;
  return ok("{\"kind\": \"" + frame.kind + "\", \"seq\": " + std::to_string(header.seq) + ", \"ack\": " +
                std::to_string(header.ack) + ", \"re\": " + std::to_string(header.re) +
                ", \"body\": " + frame.body + payload +
                "}",
            writer, again);
}

std::string on_stream(const Bytes& data) {
  rlay::FrameReader frames;
  // Byte by byte, as a slow network would bring them.
  std::string all;
  std::string separator;
  for (const std::uint8_t byte : data) {
    frames.receive(&byte, 1);
    rlay::FrameReader::Frame frame;
    switch (frames.next(65536, frame)) {
      case rlay::FrameReader::Found::nothing: break;
      case rlay::FrameReader::Found::frame:
        all += separator + hex(frame.data, frame.size);
        separator = ",";
        break;
      case rlay::FrameReader::Found::close_mark: return "ok " + all + " closed";
      case rlay::FrameReader::Found::too_long: return "refused a frame that is too long";
    }
  }
  if (!frames.is_between_frames()) return "refused a stream that ends inside a frame";
  return "ok " + all + " open";
}

std::string answer(const std::string& what, std::istringstream& words) {
  std::string text;
  std::string space_text;
  std::size_t rows = 1;
  if (what == "payload") words >> space_text >> rows;
  words >> text;
  const Bytes data = unhex(text);
  if (what == "frame") return on_frame(data);
  if (what == "stream") return on_stream(data);
  Reader reader(data.data(), data.size());
  Bytes again;
  Writer writer(again);
  std::string shown;
  if (what == "value") {
    const Value value = reader.value();
    writer.value(value);
    shown = json(value);
  } else if (what == "space") {
    const Space space = read_space(reader);
    if (!reader.ok()) return refused(reader);
    writer.space(space);
    shown = json_space(space);
  } else {
    const Bytes space_data = unhex(space_text);
    Reader space_reader(space_data.data(), space_data.size());
    const Space space = read_space(space_reader);
    if (!rlay::has_packed_form(space)) return "refused a space that has no packed form";
    std::vector<Value> values(rows);
    rlay::unpack(space, reader, values);
    if (!reader.ok()) return refused(reader);
    std::vector<const Value*> pointers;
    for (const Value& value : values) pointers.push_back(&value);
    if (!rlay::pack(space, pointers, again)) return "cannot pack";
    shown = list(values, [](const Value& value) { return json(value); });
  }
  reader.end();
  if (!reader.ok()) return refused(reader);
  return ok(shown, writer, again);
}

}  // namespace

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string what;
    words >> what;
    std::cout << answer(what, words) << "\n";
  }
}
