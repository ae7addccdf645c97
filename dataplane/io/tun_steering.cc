#include "dataplane/io/tun_steering.hh"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "dataplane/packet/ip_view.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::io {
namespace {

constexpr std::uint64_t kMixer = 0xd6e8feb86659fd93ULL;  // of flow_hash

// A very small assembler: one method an instruction. Registers 6 to 9 survive packet loads, 0 receives them.
class Program {
 public:
  static constexpr std::uint8_t kResult = 0, kContext = 6, kA = 7, kB = 8, kProtocol = 9;

  void alu(std::uint8_t op, std::uint8_t to, std::int32_t value) {
    add(BPF_ALU64 | op | BPF_K, to, 0, 0, value);
  }
  void alu_reg(std::uint8_t op, std::uint8_t to, std::uint8_t from) {
    add(BPF_ALU64 | op | BPF_X, to, from, 0, 0);
  }
  void move(std::uint8_t to, std::uint8_t from) { alu_reg(BPF_MOV, to, from); }
  // Network order to host order into kResult; a packet too short ends the program with 0.
  void load(std::uint8_t size, std::int32_t offset) { add(BPF_LD | size | BPF_ABS, 0, 0, 0, offset); }
  void load_at(std::uint8_t size, std::uint8_t offset) { add(BPF_LD | size | BPF_IND, 0, offset, 0, 0); }
  void exit() { add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }
  std::size_t jump(std::uint8_t op, std::uint8_t reg, std::int32_t value) {
    add(BPF_JMP | op | BPF_K, reg, 0, 0, value);
    return code_.size() - 1;
  }
  void land(std::size_t from) { code_[from].off = static_cast<std::int16_t>(code_.size() - from - 1); }

  // to = (word at `offset`) ‖ (word at `offset` + 4)
  void load_double(std::uint8_t to, std::int32_t offset) {
    load(BPF_W, offset);
    move(to, kResult);
    alu(BPF_LSH, to, 32);
    load(BPF_W, offset + 4);
    alu_reg(BPF_OR, to, kResult);
  }
  // Spoils 3 and 4.
  void mix(std::uint8_t reg) {
    code_.push_back({BPF_LD | BPF_DW | BPF_IMM, 3, 0, 0, static_cast<std::int32_t>(kMixer & 0xffffffff)});
    code_.push_back({0, 0, 0, 0, static_cast<std::int32_t>(kMixer >> 32)});
    for (int round = 0; round < 2; ++round) {
      fold(reg);
      alu_reg(BPF_MUL, reg, 3);
    }
    fold(reg);
  }
  void fold(std::uint8_t reg) {
    move(4, reg);
    alu(BPF_RSH, 4, 32);
    alu_reg(BPF_XOR, reg, 4);
  }
  // kResult holds source port ‖ destination port.
  void take_ports() {
    move(1, kResult);
    alu(BPF_RSH, 1, 16);
    alu_reg(BPF_XOR, kA, 1);
    alu(BPF_AND, kResult, 0xffff);
    alu_reg(BPF_XOR, kB, kResult);
  }
  const std::vector<bpf_insn>& code() const { return code_; }

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
};

// kA holds the queue for everything else: `critical` goes `queues` further on.
void add_urgency(Program& p, unsigned queues) {
  constexpr auto kR0 = Program::kResult, kA = Program::kA;
  p.load(BPF_B, 0);
  p.alu(BPF_RSH, kR0, 4);
  const std::size_t v6 = p.jump(BPF_JEQ, kR0, 6);
  p.load(BPF_B, 1);
  p.alu(BPF_RSH, kR0, 2);
  const std::size_t judge = p.jump(BPF_JA, 0, 0);
  p.land(v6);
  p.load(BPF_H, 0);
  p.alu(BPF_RSH, kR0, 6);
  p.alu(BPF_AND, kR0, 0x3f);
  p.land(judge);
  std::vector<std::size_t> critical;
  for (std::uint8_t dscp = 0; dscp < 64; ++dscp)
    if (ids::tier_of_dscp(dscp) == ids::Tier::Critical) critical.push_back(p.jump(BPF_JEQ, kR0, dscp));
  p.move(kR0, kA);
  p.exit();
  for (const std::size_t from : critical) p.land(from);
  p.move(kR0, kA);
  p.alu(BPF_ADD, kR0, static_cast<std::int32_t>(queues));
  p.exit();
}

Program bucket_program(unsigned queues, bool urgent) {
  constexpr auto kR0 = Program::kResult, kA = Program::kA, kB = Program::kB, kProtocol = Program::kProtocol;
  Program p;
  std::vector<std::size_t> to_hash;
  p.move(Program::kContext, 1);
  if (queues == 1 && urgent) {  // nothing to tell apart by flow
    p.alu(BPF_MOV, kA, 0);
    add_urgency(p, queues);
    return p;
  }
  p.load(BPF_B, 0);
  p.alu(BPF_RSH, kR0, 4);
  const std::size_t v4 = p.jump(BPF_JEQ, kR0, 4);
  const std::size_t v6 = p.jump(BPF_JEQ, kR0, 6);
  p.alu(BPF_MOV, kR0, 0);
  p.exit();

  // IPv4: addresses stand in the upper halves; fragments have neither ports nor protocol.
  p.land(v4);
  p.load(BPF_W, 12);
  p.move(kA, kR0);
  p.alu(BPF_LSH, kA, 32);
  p.load(BPF_W, 16);
  p.move(kB, kR0);
  p.alu(BPF_LSH, kB, 32);
  p.alu(BPF_MOV, kProtocol, 0);
  p.load(BPF_H, 6);
  p.alu(BPF_AND, kR0, 0x3fff);
  to_hash.push_back(p.jump(BPF_JNE, kR0, 0));
  p.load(BPF_B, 9);
  p.move(kProtocol, kR0);
  const std::size_t tcp4 = p.jump(BPF_JEQ, kProtocol, packet::kProtocolTcp);
  to_hash.push_back(p.jump(BPF_JNE, kProtocol, packet::kProtocolUdp));
  p.land(tcp4);
  p.load(BPF_B, 0);
  p.alu(BPF_AND, kR0, 0xf);
  p.alu(BPF_LSH, kR0, 2);
  p.load_at(BPF_W, kR0);
  p.take_ports();
  to_hash.push_back(p.jump(BPF_JA, 0, 0));

  // IPv6 without extension headers.
  p.land(v6);
  p.load_double(kA, 8);
  p.load_double(kB, 16);
  p.mix(kB);
  p.alu_reg(BPF_XOR, kA, kB);
  p.load_double(kB, 24);
  p.load_double(kProtocol, 32);
  p.mix(kProtocol);
  p.alu_reg(BPF_XOR, kB, kProtocol);
  p.load(BPF_B, 6);
  p.move(kProtocol, kR0);
  const std::size_t tcp6 = p.jump(BPF_JEQ, kProtocol, packet::kProtocolTcp);
  to_hash.push_back(p.jump(BPF_JNE, kProtocol, packet::kProtocolUdp));
  p.land(tcp6);
  p.load(BPF_W, 40);
  p.take_ports();

  // packet::flow_hash, then bucket_of.
  for (const std::size_t from : to_hash) p.land(from);
  p.mix(kA);
  p.mix(kB);
  p.move(1, kA);
  p.alu_reg(BPF_ADD, 1, kB);
  p.move(2, kA);
  p.alu_reg(BPF_XOR, 2, kB);
  p.alu_reg(BPF_ADD, 2, kProtocol);
  p.mix(2);
  p.alu_reg(BPF_XOR, 1, 2);
  p.mix(1);
  p.fold(1);
  p.alu(BPF_LSH, 1, 32);
  p.alu(BPF_RSH, 1, 32);
  p.alu(BPF_MUL, 1, static_cast<std::int32_t>(packet::kFlowBuckets));
  p.alu(BPF_RSH, 1, 32);
  p.alu(BPF_AND, 1, static_cast<std::int32_t>(queues - 1));
  p.move(kA, 1);
  if (urgent) {
    add_urgency(p, queues);
  } else {
    p.move(kR0, kA);
    p.exit();
  }
  return p;
}

}  // namespace

Fd load_bucket_steering(unsigned queues, bool urgent) {
  const Program program = bucket_program(queues, urgent);
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attr.insn_cnt = static_cast<std::uint32_t>(program.code().size());
  attr.insns = reinterpret_cast<std::uintptr_t>(program.code().data());
  attr.license = reinterpret_cast<std::uintptr_t>("Apache-2.0");
  return Fd(static_cast<int>(::syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr)));
}

}  // namespace qanat::io
