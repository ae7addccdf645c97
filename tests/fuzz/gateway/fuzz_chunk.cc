// Any chunk from a pool: the scan is total, and taking usage out of JSON leaves JSON that has none and is otherwise
// alike. (What is skipped over is not checked.)
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "gateway/relay/chunk_scan.hh"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace qanat::relay;
  std::string chunk(reinterpret_cast<const char*>(data), size);
  const ChunkScan scan = scan_chunk(chunk);
  if (!scan.valid) return 0;
  std::string without = without_usage(chunk, scan);
  std::string null = with_null_usage(chunk, scan);
  if (!nlohmann::json::accept(chunk)) return 0;
  if (!nlohmann::json::accept(without) || !nlohmann::json::accept(null)) std::abort();
  for (std::string* text : {&without, &null}) {
    const ChunkScan again = scan_chunk(*text);
    if (!again.valid || again.has_content != scan.has_content || again.has_choices != scan.has_choices)
      std::abort();
  }
  if (scan.usage_member.present() && scan_chunk(null).usage) std::abort();
  return 0;
}
