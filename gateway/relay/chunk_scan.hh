// scan_chunk: what the meter must know of one answer from a pool (a stream's chunk, or a whole answer): does it carry
// content, which usage, and where that stands, so that a client which did not ask for usage does not get it.
#pragma once

#include <optional>
#include <string>

#include "gateway/meter/delivery.hh"
#include "gateway/relay/request_scan.hh"

namespace qanat::relay {

struct ChunkScan {
  bool valid = false;                             // one JSON object
  bool has_choices = false;                       // a non-empty list
  bool has_content = false;                       // text, reasoning, a refusal or tool calls in some choice
  std::size_t content_bytes = 0;                  // of that text, as JSON wrote it
  bool error = false;                             // an "error" member: the pool gave up
  std::optional<meter::TokenCount::Usage> usage;  // none if null
  Range usage_value;
  Range usage_member;  // from the key's quote to the value's end
};

// Total on any bytes; may grow `text`'s capacity by simdjson's padding.
ChunkScan scan_chunk(std::string& text);

// A whole answer of embeddings: its usage has no tokens generated.
struct VectorsScan {
  bool valid = false;  // one JSON object with a non-empty list of data
  std::optional<meter::TokenCount::Usage> usage;
};
// Total on any bytes; may grow `text`'s capacity by simdjson's padding.
VectorsScan scan_vectors(std::string& text);

// The chunk without its usage member, or with `null` as its value.
std::string without_usage(std::string_view json, const ChunkScan& scan);
std::string with_null_usage(std::string_view json, const ChunkScan& scan);

}  // namespace qanat::relay
