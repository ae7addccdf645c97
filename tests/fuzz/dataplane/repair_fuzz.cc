// Repairs and packets as an authenticated peer may send them, in any order: nothing but bounded memory and drops.
#include <algorithm>

#include "dataplane/path/fec_decoder.hh"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace qanat;
  path::FecDecoder::Options options;
  options.packets = 64;
  path::FecDecoder decoder(options);
  const path::StreamId stream{ids::NodeId{1}, ids::Tier::Bulk, 0};
  std::span<const std::uint8_t> rest{data, size};
  while (rest.size() > 2) {
    const bool repair = (rest[0] & 1) != 0;
    const std::size_t length = std::min<std::size_t>(rest[1], rest.size() - 2);
    const auto body = rest.subspan(2, length);
    rest = rest.subspan(2 + length);
    packet::InnerHeader header;
    header.sequence = body.empty() ? 0 : body[0];
    if (repair)
      (void)decoder.on_repair(stream, body, base::Time{});
    else
      decoder.on_packet(stream, header, body, base::Time{});
    decoder.clear();
    if (decoder.kept() > options.packets) __builtin_trap();
  }
  return 0;
}
