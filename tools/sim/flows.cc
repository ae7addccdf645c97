#include "tools/sim/flows.hh"

#include <algorithm>

#include "dataplane/packet/virtio_header.hh"
#include "tools/sim/random.hh"

namespace qanat::sim {
namespace {

constexpr std::uint32_t kMagic = 0x71464c57;  // "qFLW"
constexpr std::size_t kIpBytes = 20, kUdpBytes = 8, kSayingBytes = 24;

void put32(std::uint8_t* at, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
}
std::uint32_t get32(const std::uint8_t* at) {
  return std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 | at[3];
}

}  // namespace

std::vector<Leg> plan_flows(std::span<const TenantPlan> tenants, std::size_t at_once, std::uint64_t seed,
                            base::Time start, base::Time end) {
  std::vector<const TenantPlan*> usable;
  for (const TenantPlan& tenant : tenants)
    if (tenant.members.size() >= 2) usable.push_back(&tenant);
  std::vector<Leg> legs;
  if (usable.empty()) return legs;
  for (std::size_t slot = 0; slot < at_once; ++slot) {
    Random random(seed, Stream::Flows, slot);
    base::Time at = start + std::chrono::milliseconds(random.below(1000));
    while (at < end) {
      const TenantPlan& tenant = *usable[random.below(usable.size())];
      const std::size_t a = random.below(tenant.members.size());
      const std::size_t b = (a + 1 + random.below(tenant.members.size() - 1)) % tenant.members.size();
      const auto tier = ids::kTiers[random.below(ids::kTierCount)];
      const base::Time until = std::min(end, at + std::chrono::milliseconds(20'000 + random.below(20'000)));
      legs.push_back({tenant.members[a], tenant.members[b], tenant.vni, tier, at, until});
      legs.push_back({tenant.members[b], tenant.members[a], tenant.vni, tier, at, until});
      at = until;
    }
  }
  return legs;
}

std::vector<std::uint8_t> make_packet(const FlowPacket& says, ids::Tier tier, const packet::IpAddress& source,
                                      const packet::IpAddress& destination, std::size_t size) {
  std::vector<std::uint8_t> frame(packet::VirtioHeader::kBytes +
                                  std::max(size, kIpBytes + kUdpBytes + kSayingBytes));
  std::uint8_t* ip = frame.data() + packet::VirtioHeader::kBytes;
  const std::size_t total = frame.size() - packet::VirtioHeader::kBytes;
  ip[0] = 0x45;
  ip[1] = static_cast<std::uint8_t>(ids::dscp(tier) << 2);
  ip[2] = static_cast<std::uint8_t>(total >> 8);
  ip[3] = static_cast<std::uint8_t>(total);
  ip[8] = 64;
  ip[9] = 17;
  source.to_bytes(ip + 12);
  destination.to_bytes(ip + 16);
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < kIpBytes; i += 2) sum += std::uint32_t{ip[i]} << 8 | ip[i + 1];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  ip[10] = static_cast<std::uint8_t>(~sum >> 8);
  ip[11] = static_cast<std::uint8_t>(~sum);
  std::uint8_t* udp = ip + kIpBytes;  // its checksum stays 0: none (RFC 768)
  udp[0] = static_cast<std::uint8_t>(0x80 | (says.leg >> 8 & 0x7f));
  udp[1] = static_cast<std::uint8_t>(says.leg);
  udp[2] = 0x1f, udp[3] = 0x90;
  udp[4] = static_cast<std::uint8_t>((total - kIpBytes) >> 8);
  udp[5] = static_cast<std::uint8_t>(total - kIpBytes);
  std::uint8_t* saying = udp + kUdpBytes;
  for (const std::uint32_t word : {kMagic, says.leg, says.number, says.vni, says.from, says.to}) {
    put32(saying, word);
    saying += 4;
  }
  return frame;
}

std::optional<FlowPacket> read_packet(std::span<const std::uint8_t> ip) {
  if (ip.size() < kIpBytes + kUdpBytes + kSayingBytes || ip[0] != 0x45 || ip[9] != 17) return std::nullopt;
  const std::uint8_t* saying = ip.data() + kIpBytes + kUdpBytes;
  if (get32(saying) != kMagic) return std::nullopt;
  return FlowPacket{get32(saying + 4), get32(saying + 8), get32(saying + 12), get32(saying + 16),
                    get32(saying + 20)};
}

}  // namespace qanat::sim
