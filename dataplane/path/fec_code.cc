#include "dataplane/path/fec_code.hh"

#include <isa-l/erasure_code.h>

#include "dataplane/path/packet_slab.hh"

namespace qanat::path {

std::uint8_t fec_factor(std::uint64_t sequence, unsigned repair) noexcept {
  const auto x = static_cast<unsigned char>(kMostSources + repair % kRepairNumbers);
  return gf_inv(static_cast<unsigned char>(x ^ (sequence % kMostSources)));
}

std::uint8_t fec_divide(std::uint8_t a, std::uint8_t b) noexcept { return gf_mul(a, gf_inv(b)); }

std::uint8_t fec_multiply(std::uint8_t a, std::uint8_t b) noexcept { return gf_mul(a, b); }

void fec_add(std::uint8_t factor, std::span<const std::uint8_t> symbol,
             std::span<std::uint8_t> into) noexcept {
  if (symbol.empty() || factor == 0) return;
  std::array<unsigned char, 32> table;
  gf_vect_mul_init(factor, table.data());
  unsigned char* out = into.data();
  ec_encode_data_update(static_cast<int>(symbol.size()), 1, 1, 0, table.data(),
                        const_cast<unsigned char*>(symbol.data()), &out);
}

packet::OrDrop<RepairHeader> RepairHeader::parse(packet::Bytes body) noexcept {
  if (body.size() < kBytes + kSymbolPrefix || body.size() > kBytes + PacketSlab::kSlotBytes)
    return packet::DropReason::RepairMalformed;
  RepairHeader h;
  for (std::size_t i = 0; i < 6; ++i) h.first = h.first << 8 | body[i];
  h.sources = body[6];
  h.number = body[7];
  if (h.sources == 0 || h.sources > kMostSources || h.number >= kRepairNumbers)
    return packet::DropReason::RepairMalformed;
  return h;
}

void RepairHeader::serialize(packet::MutableBytes out) const noexcept {
  for (std::size_t i = 0; i < 6; ++i) out[i] = static_cast<std::uint8_t>(first >> (40 - 8 * i));
  out[6] = sources;
  out[7] = number;
}

}  // namespace qanat::path
