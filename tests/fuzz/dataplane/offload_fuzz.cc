// Any super-packet from a TUN, cut and joined again: each segment must be a sound packet of its own whose checksum, once
// completed, is right; their payloads must be the super-packet's; and joining them must lose and invent nothing.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "dataplane/packet/checksum.hh"
#include "dataplane/packet/coalescer.hh"
#include "dataplane/packet/segmenter.hh"

using namespace qanat::packet;
using Octets = std::vector<std::uint8_t>;

static void require(bool truth) {
  if (!truth) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < VirtioHeader::kBytes) return 0;
  const auto virtio = VirtioHeader::parse({data, VirtioHeader::kBytes});
  Octets super(data + VirtioHeader::kBytes, data + size);
  const auto s = Segmenter::make(virtio, super, 1340);
  if (!s.has_value()) return 0;

  // Cut again for a narrower path: only TCP gives way, and then it fits.
  auto narrow = *s;
  narrow.cut_to(900);
  if (s->header_bytes() != 0 && s->header_bytes() < 900 && s->view().protocol == kProtocolTcp)
    require(narrow.segment_bytes(0) <= 900 && narrow.count() >= s->count());
  else
    require(narrow.count() == s->count() && narrow.segment_bytes(0) == s->segment_bytes(0));

  Octets payload;
  std::vector<Octets> segments;
  for (std::size_t i = 0; i < s->count() && i < 512; ++i) {
    Octets segment(s->header_bytes());
    s->write_header(i, segment.data());
    const auto bytes = s->payload(i);
    segment.insert(segment.end(), bytes.begin(), bytes.end());
    require(segment.size() == s->segment_bytes(i) && segment.size() <= 1340);
    payload.insert(payload.end(), bytes.begin(), bytes.end());
    segments.push_back(std::move(segment));
  }
  if (segments.size() == s->count()) {
    const auto begin = super.begin() + static_cast<std::ptrdiff_t>(s->header_bytes());
    require(std::equal(payload.begin(), payload.end(), begin, super.begin() + s->view().total_bytes));
  }
  if (s->count() > 1)
    for (const auto& segment : segments) {
      auto complete = segment;
      const auto view = IpView::parse(complete);
      require(view.has_value() && view->total_bytes == complete.size() &&
              view->protocol == s->view().protocol);
      require(complete_checksum(*view, complete) && transport_checksum_valid(*view, complete));
      if (view->family == IpFamily::V4)
        require(checksum_fold(checksum_add(0, Bytes(complete).first(view->transport_offset))) == 0xffff);
    }

  Coalescer coalescer({.tcp = true, .udp = true});
  std::size_t pushed = 0;
  for (auto& segment : segments)
    if (const auto view = IpView::parse(segment); view.has_value()) {
      coalescer.push(segment, *view, s->checksum_partial());
      ++pushed;
    }
  std::size_t joined = 0;
  Octets out;
  for (const auto& write : coalescer.flush()) {
    joined += write.segments;
    require(write.bytes <= Coalescer::kMaxSuperBytes && !write.pieces.empty());
    std::size_t first = 0;
    for (const auto piece : write.pieces) {
      const std::size_t skip = first++ == 0 ? s->header_bytes() : 0;
      if (piece.size() >= skip)
        out.insert(out.end(), piece.begin() + static_cast<std::ptrdiff_t>(skip), piece.end());
    }
  }
  require(joined == pushed);
  // All segments are of one flow, so their order is the super-packet's.
  if (s->count() > 1 && pushed == s->count()) require(out == payload);
  return 0;
}
