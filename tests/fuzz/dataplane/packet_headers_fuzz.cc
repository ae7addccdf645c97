// Any bytes as any of wire.md's headers: parsers are total, and what parses serialises to bytes that parse to the same.
#include <cstdlib>
#include <vector>

#include "dataplane/packet/ack.hh"
#include "dataplane/packet/inner_header.hh"
#include "dataplane/packet/link_header.hh"
#include "dataplane/packet/probe.hh"
#include "dataplane/packet/route_header.hh"
#include "dataplane/packet/sealed_header.hh"

using namespace qanat::packet;

template <class Header>
static void round_trip(Bytes input, std::size_t bytes) {
  const auto first = Header::parse(input);
  if (!first.has_value()) return;
  std::vector<std::uint8_t> copy(input.begin(), input.end());
  first->serialize(MutableBytes(copy).first(bytes));
  const auto second = Header::parse(copy);
  if (!second.has_value() || !(*second == *first)) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input(data, size);
  (void)classify(input);
  (void)classify(input, true);
  round_trip<SealedHeader>(input, SealedHeader::kBytes);
  round_trip<LinkHeader>(input, LinkHeader::kBytes);
  round_trip<InnerHeader>(input, InnerHeader::kBytes);
  round_trip<RouteHeader>(input, size);
  if (const auto probe = Probe::parse(input); probe.has_value()) round_trip<Probe>(input, probe->bytes());
  if (const auto ack = Ack::parse(input); ack.has_value()) round_trip<Ack>(input, ack->bytes());
  return 0;
}
