// Any body: scan and splice are total. JSON that scans splices into JSON that scans to the same request with the new
// model. (What is skipped over is not checked: the pool refuses bodies that are malformed in there.)
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "gateway/relay/request_scan.hh"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace qanat::relay;
  std::string body(reinterpret_cast<const char*>(data), size);
  const auto scan = scan_request(body);
  if (!scan.has_value()) return 0;
  std::string spliced = splice_request(body, *scan, "m\"\\32");
  const auto again = scan_request(spliced);
  if (!nlohmann::json::accept(std::string_view(reinterpret_cast<const char*>(data), size))) return 0;
  if (!nlohmann::json::accept(spliced)) std::abort();
  if (!again.has_value()) std::abort();
  if (again->model != "m\"\\32" || again->stream != scan->stream || again->max_tokens != scan->max_tokens ||
      again->n != scan->n)
    std::abort();
  if (scan->stream && !(again->include_usage && again->continuous_usage)) std::abort();
  if (again->other_stream_options != scan->other_stream_options) std::abort();
  return 0;
}
