#include "gateway/relay/chunk_scan.hh"

#include <simdjson.h>

#include <array>
#include <cstring>

namespace qanat::relay {
namespace {

namespace od = simdjson::ondemand;

bool space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// {"content":"x"} of a delta or a message: anything a reader of the answer sees.
// Answers its bytes; 0: none.
std::size_t content_of(od::value value) {
  od::object object;
  if (value.get_object().get(object)) return 0;
  std::size_t found = 0;
  for (auto member : object) {
    od::field field;
    std::string_view key;
    if (std::move(member).get(field) || field.unescaped_key().get(key)) return found;
    if (key == "content" || key == "reasoning_content" || key == "reasoning" || key == "refusal") {
      std::string_view text;
      if (!field.value().get_string().get(text)) found += text.size();
    } else if (key == "tool_calls") {
      od::array calls;
      bool empty = true;
      std::string_view raw;
      if (!field.value().get_array().get(calls) && !calls.is_empty().get(empty) && !empty &&
          !calls.raw_json().get(raw))
        found += raw.size();
    }
  }
  return found;
}

void choices(od::value value, ChunkScan& scan) {
  od::array list;
  if (value.get_array().get(list)) return;
  for (auto element : list) {
    od::object choice;
    if (element.get_object().get(choice)) return;
    scan.has_choices = true;
    for (auto member : choice) {
      od::field field;
      std::string_view key;
      if (std::move(member).get(field) || field.unescaped_key().get(key)) return;
      if (key == "delta" || key == "message") {
        scan.content_bytes += content_of(field.value());
      } else if (key == "text") {
        std::string_view text;
        if (!field.value().get_string().get(text)) scan.content_bytes += text.size();
      }
    }
  }
}

// Answers the value's text, trimmed by the caller.
std::string_view usage(od::value value, ChunkScan& scan, bool generates = true) {
  od::json_type type;
  od::object object;
  std::string_view raw;
  if (value.type().get(type)) return {};
  if (type != od::json_type::object) {
    if (simdjson::to_json_string(value).get(raw)) return {};
    return raw;
  }
  if (value.get_object().get(object) || object.raw_json().get(raw) || object.reset().error()) return {};
  meter::TokenCount::Usage found;
  bool complete = false;
  for (auto member : object) {
    od::field field;
    std::string_view key;
    if (std::move(member).get(field) || field.unescaped_key().get(key)) return raw;
    if (key == "prompt_tokens") {
      if (field.value().get_uint64().get(found.prompt_tokens)) return raw;
      if (!generates) complete = true;
    } else if (key == "prompt_tokens_details") {
      od::object details;
      if (!field.value().get_object().get(details)) {
        std::uint64_t cached = 0;
        if (!details["cached_tokens"].get_uint64().get(cached)) found.cached_tokens = cached;
      }
    } else if (key == "completion_tokens" && generates) {
      if (field.value().get_uint64().get(found.completion_tokens)) return raw;
      complete = true;
    }
  }
  if (complete) scan.usage = found;
  return raw;
}

}  // namespace

ChunkScan scan_chunk(std::string& text) {
  ChunkScan scan;
  // A frame is copied to where it has room behind it, which costs less than to make room.
  thread_local std::array<char, 8 * 1024> near;
  std::string_view json;
  if (text.size() + simdjson::SIMDJSON_PADDING <= near.size()) {
    std::memcpy(near.data(), text.data(), text.size());
    json = {near.data(), text.size()};
  } else {
    text.reserve(text.size() + simdjson::SIMDJSON_PADDING);
    json = text;
  }
  thread_local od::parser parser;
  od::document document;
  od::object object;
  if (parser.iterate(json.data(), json.size(), json.size() + simdjson::SIMDJSON_PADDING).get(document) ||
      document.get_object().get(object))
    return scan;
  bool usage_seen = false;
  for (auto member : object) {
    od::field field;
    std::string_view key;
    if (std::move(member).get(field)) return scan;
    const char* key_begin = field.key().raw() - 1;
    if (field.unescaped_key().get(key)) return scan;
    if (key == "choices") {
      choices(field.value(), scan);
      scan.has_content = scan.content_bytes != 0;
    } else if (key == "error") {
      bool null = false;
      scan.error = field.value().is_null().get(null) || !null;
    } else if (key == "usage" && !usage_seen) {
      usage_seen = true;
      std::string_view raw = usage(field.value(), scan);
      if (raw.empty()) return scan;
      while (space(raw.back())) raw.remove_suffix(1);
      scan.usage_value = {static_cast<std::size_t>(raw.data() - json.data()), raw.size()};
      const auto member_offset = static_cast<std::size_t>(key_begin - json.data());
      scan.usage_member = {member_offset, scan.usage_value.offset + scan.usage_value.length - member_offset};
    }
  }
  const char* rest = nullptr;  // RFC 8259 §2: nothing behind the value but space
  scan.valid = document.current_location().get(rest) != simdjson::SUCCESS;
  return scan;
}

VectorsScan scan_vectors(std::string& text) {
  VectorsScan scan;
  text.reserve(text.size() + simdjson::SIMDJSON_PADDING);
  thread_local od::parser parser;
  od::document document;
  od::object object;
  if (parser.iterate(text).get(document) || document.get_object().get(object)) return scan;
  bool vectors = false;
  for (auto member : object) {
    od::field field;
    std::string_view key;
    if (std::move(member).get(field) || field.unescaped_key().get(key)) return scan;
    if (key == "data") {
      od::array list;
      bool empty = true;
      vectors = !field.value().get_array().get(list) && !list.is_empty().get(empty) && !empty;
    } else if (key == "usage") {
      ChunkScan found;
      usage(field.value(), found, false);
      scan.usage = found.usage;
    }
  }
  const char* rest = nullptr;
  scan.valid = vectors && document.current_location().get(rest) != simdjson::SUCCESS;
  return scan;
}

std::string without_usage(std::string_view json, const ChunkScan& scan) {
  if (!scan.usage_member.present()) return std::string(json);
  std::size_t begin = scan.usage_member.offset;
  std::size_t end = begin + scan.usage_member.length;
  // With the comma that tied it to its neighbour: the one before, or, for a first member, the one after.
  std::size_t before = begin;
  while (before > 0 && space(json[before - 1])) --before;
  if (before > 0 && json[before - 1] == ',') {
    begin = before - 1;
  } else {
    std::size_t after = end;
    while (after < json.size() && space(json[after])) ++after;
    if (after < json.size() && json[after] == ',') end = after + 1;
  }
  std::string out(json.substr(0, begin));
  out += json.substr(end);
  return out;
}

std::string with_null_usage(std::string_view json, const ChunkScan& scan) {
  if (!scan.usage_value.present()) return std::string(json);
  std::string out(json.substr(0, scan.usage_value.offset));
  out += "null";
  out += json.substr(scan.usage_value.offset + scan.usage_value.length);
  return out;
}

}  // namespace qanat::relay
