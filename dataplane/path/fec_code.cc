#include "dataplane/path/fec_code.hh"

#include <isa-l/erasure_code.h>

#include <algorithm>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/path/packet_slab.hh"

namespace qanat::path {

// Row r, column s of a Cauchy matrix: 1 / (x_r + y_s), x and y all different.
std::uint8_t fec_factor(unsigned source, unsigned repair) noexcept {
  return gf_inv(static_cast<unsigned char>((kMostSources + repair) ^ source));
}

void fec_add(std::uint8_t factor, std::span<const std::uint8_t> symbol,
             std::span<std::uint8_t> into) noexcept {
  if (symbol.empty()) return;
  std::array<unsigned char, 32> table;
  gf_vect_mul_init(factor, table.data());
  unsigned char* out = into.data();
  ec_encode_data_update(static_cast<int>(symbol.size()), 1, 1, 0, table.data(),
                        const_cast<unsigned char*>(symbol.data()), &out);
}

bool fec_invert(std::span<std::uint8_t> matrix, std::span<std::uint8_t> inverse, unsigned size) noexcept {
  return gf_invert_matrix(matrix.data(), inverse.data(), static_cast<int>(size)) == 0;
}

packet::OrDrop<RepairHeader> RepairHeader::parse(packet::Bytes body) noexcept {
  if (body.size() < kBytes + kSymbolPrefix || body.size() > kBytes + PacketSlab::kSlotBytes)
    return packet::DropReason::RepairMalformed;
  RepairHeader h;
  for (std::size_t i = 0; i < 6; ++i) h.first = h.first << 8 | body[i];
  h.sources = body[6];
  h.number = body[7];
  if (h.sources == 0 || h.sources > kMostSources || h.number >= kMostRepairs)
    return packet::DropReason::RepairMalformed;
  return h;
}

void RepairHeader::serialize(packet::MutableBytes out) const noexcept {
  for (std::size_t i = 0; i < 6; ++i) out[i] = static_cast<std::uint8_t>(first >> (40 - 8 * i));
  out[6] = sources;
  out[7] = number;
}

}  // namespace qanat::path
