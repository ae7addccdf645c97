#include "dataplane/io/xdp_filter.hh"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <vector>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/ip_view.hh"
#include "dataplane/packet/wire.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::io {
namespace {

constexpr std::int32_t kCritical = ids::dscp(ids::Tier::Critical);
constexpr std::size_t kEthernet = 14;

// What stands in memory as `value` in network order, as a load of that size sees it.
constexpr std::int32_t wire16(std::uint16_t value) {
  return std::endian::native == std::endian::little ? __builtin_bswap16(value) : value;
}

// Instructions; every test that fails jumps to the end, where the frame is passed to the kernel.
class Filter {
 public:
  static constexpr std::uint8_t kContext = 6, kData = 2, kEnd = 3, kAt = 4, kValue = 5;

  void move(std::uint8_t to, std::uint8_t from) { add(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0); }
  void alu(std::uint8_t op, std::uint8_t to, std::int32_t value) {
    add(BPF_ALU64 | op | BPF_K, to, 0, 0, value);
  }
  void load(std::uint8_t size, std::uint8_t to, std::uint8_t from, std::size_t offset) {
    add(BPF_LDX | BPF_MEM | size, to, from, static_cast<std::int16_t>(offset), 0);
  }
  // The frame's bytes at `offset`.
  void field(std::uint8_t size, std::size_t offset) { load(size, kValue, kData, offset); }
  void host_order16() { add(BPF_ALU | BPF_END | BPF_TO_BE, kValue, 0, 0, 16); }
  void pass_if(std::uint8_t jump, std::int32_t value) {
    exits_.push_back(code_.size());
    add(BPF_JMP32 | jump | BPF_K, kValue, 0, 0, value);
  }
  void pass_if_greater(std::uint8_t left, std::uint8_t right) {
    exits_.push_back(code_.size());
    add(BPF_JMP | BPF_JGT | BPF_X, left, right, 0, 0);
  }
  void redirect(int map) {
    add(BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, map);
    add(0, 0, 0, 0, 0);
    load(BPF_W, 2, kContext, offsetof(xdp_md, rx_queue_index));
    alu(BPF_MOV, 3, XDP_PASS);  // where no socket serves the queue
    add(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map);
    add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  }
  std::vector<bpf_insn> finish() {
    for (const std::size_t from : exits_)
      code_[from].off = static_cast<std::int16_t>(code_.size() - from - 1);
    alu(BPF_MOV, 0, XDP_PASS);
    add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    return std::move(code_);
  }

 private:
  void add(int op, std::uint8_t to, std::uint8_t from, std::int16_t offset, std::int32_t value) {
    bpf_insn i{};
    i.code = static_cast<std::uint8_t>(op);
    i.dst_reg = to & 0xf;
    i.src_reg = from & 0xf;
    i.off = offset;
    i.imm = value;
    code_.push_back(i);
  }
  std::vector<bpf_insn> code_;
  std::vector<std::size_t> exits_;
};

std::vector<bpf_insn> program(const packet::UdpAddress& local, int map) {
  const bool v4 = local.address.family == packet::IpFamily::V4;
  const std::size_t udp = kEthernet + (v4 ? 20 : 40);
  Filter f;
  f.move(Filter::kContext, 1);
  f.load(BPF_W, Filter::kData, Filter::kContext, offsetof(xdp_md, data));
  f.load(BPF_W, Filter::kEnd, Filter::kContext, offsetof(xdp_md, data_end));
  // 1. Long enough to look at, short enough for a buffer.
  f.move(Filter::kAt, Filter::kData);
  f.alu(BPF_ADD, Filter::kAt, static_cast<std::int32_t>(udp + 8 + 2));
  f.pass_if_greater(Filter::kAt, Filter::kEnd);
  f.move(Filter::kAt, Filter::kData);
  f.alu(BPF_ADD, Filter::kAt, kXdpFrameBytes);
  f.pass_if_greater(Filter::kEnd, Filter::kAt);
  // 2. IP to us, whole, not `critical`.
  f.field(BPF_H, 12);
  f.pass_if(BPF_JNE, wire16(v4 ? 0x0800 : 0x86dd));
  if (v4) {
    f.field(BPF_B, kEthernet);
    f.pass_if(BPF_JNE, 0x45);
    f.field(BPF_H, kEthernet + 6);
    f.alu(BPF_AND, Filter::kValue, wire16(0x3fff));
    f.pass_if(BPF_JNE, 0);
    f.field(BPF_B, kEthernet + 9);
    f.pass_if(BPF_JNE, packet::kProtocolUdp);
    f.field(BPF_B, kEthernet + 1);
    f.alu(BPF_RSH, Filter::kValue, 2);
    f.pass_if(BPF_JEQ, kCritical);
  } else {
    f.field(BPF_B, kEthernet + 6);
    f.pass_if(BPF_JNE, packet::kProtocolUdp);
    f.field(BPF_H, kEthernet);
    f.host_order16();
    f.alu(BPF_RSH, Filter::kValue, 6);
    f.alu(BPF_AND, Filter::kValue, 0x3f);
    f.pass_if(BPF_JEQ, kCritical);
  }
  std::array<std::uint8_t, 16> ours{};
  local.address.to_bytes(ours.data());
  for (std::size_t at = 0; at < (v4 ? 4u : 16u); at += 4) {
    std::int32_t word = 0;
    std::memcpy(&word, ours.data() + at, sizeof word);
    f.field(BPF_W, kEthernet + (v4 ? 16 : 24) + at);
    f.pass_if(BPF_JNE, word);
  }
  // 3. A relayed datagram of a flow's bucket.
  f.field(BPF_H, udp + 2);
  f.pass_if(BPF_JNE, wire16(local.port));
  f.field(BPF_B, udp + 8);
  f.pass_if(BPF_JNE, static_cast<std::int32_t>(packet::DatagramType::Routed));
  f.field(BPF_B, udp + 9);
  f.pass_if(BPF_JEQ, packet::kControlBucket);
  f.redirect(map);
  return f.finish();
}

}  // namespace

XdpFilter::XdpFilter(const std::string& device, unsigned index, const packet::UdpAddress& local)
    : device_(device), local_(local) {
  constexpr std::uint32_t kQueues = 64;
  sockets_.reset(
      ::bpf_map_create(BPF_MAP_TYPE_XSKMAP, "transit_xsk", sizeof(int), sizeof(int), kQueues, nullptr));
  if (!sockets_) throw_errno("make a map of AF_XDP sockets for", device_);
  const auto code = program(local_, sockets_.get());
  program_.reset(
      ::bpf_prog_load(BPF_PROG_TYPE_XDP, "transit", "Apache-2.0", code.data(), code.size(), nullptr));
  if (!program_) throw_errno("load the XDP program of", device_);
  for (const std::uint32_t mode : {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE}) {
    bpf_link_create_opts options{};
    options.sz = sizeof options;
    options.flags = mode;
    link_.reset(::bpf_link_create(program_.get(), static_cast<int>(index), BPF_XDP, &options));
    native_ = mode == XDP_FLAGS_DRV_MODE;
    if (link_) return;
  }
  throw_errno("attach an XDP program to", device_);
}

void XdpFilter::serve(unsigned queue, int socket) {
  if (::bpf_map_update_elem(sockets_.get(), &queue, &socket, BPF_ANY) != 0)
    throw_errno("lead datagrams to an AF_XDP socket on", device_);
}

bool XdpFilter::works() const {
  const bool v4 = local_.address.family == packet::IpFamily::V4;
  const std::size_t udp = kEthernet + (v4 ? 20 : 40);
  std::vector<std::uint8_t> frame(udp + 8 + 64);
  packet::store_be16(&frame[12], v4 ? 0x0800 : 0x86dd);
  frame[kEthernet] = v4 ? 0x45 : 0x60;
  frame[kEthernet + (v4 ? 9 : 6)] = packet::kProtocolUdp;
  local_.address.to_bytes(&frame[kEthernet + (v4 ? 16 : 24)]);
  packet::store_be16(&frame[udp + 2], local_.port);
  frame[udp + 8] = static_cast<std::uint8_t>(packet::DatagramType::Routed);
  const auto verdict = [&](std::size_t at, std::uint8_t value) {
    auto input = frame;
    input[at] = value;
    std::vector<std::uint8_t> output(input.size() + 256);
    bpf_test_run_opts options{};
    options.sz = sizeof options;
    options.data_in = input.data();
    options.data_size_in = static_cast<std::uint32_t>(input.size());
    options.data_out = output.data();
    options.data_size_out = static_cast<std::uint32_t>(output.size());
    options.repeat = 1;
    return ::bpf_prog_test_run_opts(program_.get(), &options) == 0 ? options.retval
                                                                   : std::uint32_t{XDP_ABORTED};
  };
  const auto port = static_cast<std::uint8_t>(local_.port);
  return verdict(udp + 3, port) == XDP_REDIRECT && verdict(udp + 9, packet::kControlBucket) == XDP_PASS &&
         verdict(udp + 8, static_cast<std::uint8_t>(packet::DatagramType::Sealed)) == XDP_PASS &&
         verdict(udp + 3, static_cast<std::uint8_t>(port + 1)) == XDP_PASS &&
         verdict(kEthernet + (v4 ? 19 : 39),
                 static_cast<std::uint8_t>(frame[kEthernet + (v4 ? 19 : 39)] + 1)) == XDP_PASS;
}

}  // namespace qanat::io
