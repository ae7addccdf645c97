#include "tools/lab/capture.hh"

#include <pcap/pcap.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <system_error>

#include "tools/lab/daemon_api.hh"
#include "tools/linkem/netns.hh"

namespace qanat::lab {
namespace {

constexpr int kSnapshotBytes = 65'535;
constexpr int kPollMs = 100;

struct Close {
  void operator()(pcap_t* p) const { pcap_close(p); }
  void operator()(pcap_dumper_t* p) const { pcap_dump_close(p); }
};
using Pcap = std::unique_ptr<pcap_t, Close>;

Pcap open_device(const CaptureOptions& options) {
  const linkem::NetnsScope inside(options.netns);
  char error[PCAP_ERRBUF_SIZE] = "";
  Pcap pcap(pcap_create(options.device.c_str(), error));
  if (!pcap) throw std::runtime_error("capture on " + options.device + ": " + error);
  pcap_set_snaplen(pcap.get(), kSnapshotBytes);
  pcap_set_immediate_mode(pcap.get(), 1);
  pcap_set_tstamp_precision(pcap.get(), PCAP_TSTAMP_PRECISION_NANO);
  if (pcap_activate(pcap.get()) < 0)
    throw std::runtime_error("capture on " + options.device + " in " + options.netns + ": " +
                             pcap_geterr(pcap.get()));
  if (!options.filter.empty()) {
    bpf_program program{};
    if (pcap_compile(pcap.get(), &program, options.filter.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0)
      throw std::runtime_error("filter '" + options.filter + "': " + pcap_geterr(pcap.get()));
    const int set = pcap_setfilter(pcap.get(), &program);
    pcap_freecode(&program);
    if (set != 0) throw std::runtime_error("filter '" + options.filter + "': " + pcap_geterr(pcap.get()));
  }
  if (pcap_setnonblock(pcap.get(), 1, error) != 0) throw std::runtime_error("capture: " + std::string(error));
  return pcap;
}

}  // namespace

std::uint64_t capture(const CaptureOptions& options) {
  using Clock = std::chrono::steady_clock;
  const Pcap pcap = open_device(options);
  std::FILE* out = options.file == "-" ? stdout : std::fopen(options.file.c_str(), "wbe");
  if (!out) throw std::system_error(errno, std::generic_category(), "open " + options.file);
  const std::unique_ptr<pcap_dumper_t, Close> dump(pcap_dump_fopen(pcap.get(), out));
  if (!dump) throw std::runtime_error("write " + options.file + ": " + pcap_geterr(pcap.get()));
  pcap_dump_flush(dump.get());  // readers of a pipe learn at once what it is
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                      std::chrono::duration<double>(options.seconds));
  std::uint64_t written = 0;
  while (!interrupted() && (options.count == 0 || written < options.count) &&
         (options.seconds <= 0 || Clock::now() < end)) {
    pollfd ready{pcap_get_selectable_fd(pcap.get()), POLLIN, 0};
    if (poll(&ready, 1, kPollMs) < 0 && errno != EINTR)
      throw std::system_error(errno, std::generic_category(), "poll");
    pcap_pkthdr* header = nullptr;
    const u_char* bytes = nullptr;
    int got = 0;
    while ((options.count == 0 || written < options.count) &&
           (got = pcap_next_ex(pcap.get(), &header, &bytes)) == 1) {
      pcap_dump(reinterpret_cast<u_char*>(dump.get()), header, bytes);
      ++written;
    }
    if (got < 0) throw std::runtime_error("capture: " + std::string(pcap_geterr(pcap.get())));
    if (pcap_dump_flush(dump.get()) != 0) return written;  // who read the pipe has gone
  }
  return written;
}

}  // namespace qanat::lab
