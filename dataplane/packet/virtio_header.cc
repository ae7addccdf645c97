#include "dataplane/packet/virtio_header.hh"

#include <fmt/format.h>

#include <cstring>

namespace qanat::packet {

VirtioHeader VirtioHeader::parse(Bytes bytes) noexcept {
  VirtioHeader h;
  h.flags = bytes[0];
  h.gso_type = bytes[1];
  std::memcpy(&h.header_bytes, &bytes[2], 2);
  std::memcpy(&h.gso_size, &bytes[4], 2);
  std::memcpy(&h.checksum_start, &bytes[6], 2);
  std::memcpy(&h.checksum_offset, &bytes[8], 2);
  return h;
}

void VirtioHeader::serialize(MutableBytes out) const noexcept {
  out[0] = flags;
  out[1] = gso_type;
  std::memcpy(&out[2], &header_bytes, 2);
  std::memcpy(&out[4], &gso_size, 2);
  std::memcpy(&out[6], &checksum_start, 2);
  std::memcpy(&out[8], &checksum_offset, 2);
}

std::string to_string(const VirtioHeader& h) {
  return fmt::format("virtio flags={:#x} gso={:#x} header={} size={} checksum={}+{}", h.flags, h.gso_type,
                     h.header_bytes, h.gso_size, h.checksum_start, h.checksum_offset);
}

}  // namespace qanat::packet
