// Probes: what the doctor finds out of this host itself, beside what the daemons say of themselves.
// Each looks and leaves nothing behind; each blocks for 3 s at most. They work in the caller's network namespace.
#pragma once

#include <string>
#include <vector>

#include "tools/qanat/doctor.hh"

namespace qanat::cli {

// What of qanatd.toml the doctor needs; empty strings where the file lacks it.
struct BoxFile {
  std::string state_dir, socket, join_token_file;
  std::vector<std::string> controllers;
  struct Line {
    unsigned plane = 0;
    std::string address;
    unsigned port = 7700;
  };
  std::vector<Line> lines;
};

// `/dev/net/tun` makes devices for us.
Finding probe_tun();
// The file is there, and qanatd finds no problem in it; fills `box` with what could be read.
Finding probe_configuration(const std::string& file, BoxFile& box);
// The folder takes a file, and has room for more.
Finding probe_state(const std::string& folder);
// Each line's address is this host's, and its port is free or the daemon's own. daemon_answers: whether ours runs.
std::vector<Finding> probe_addresses(const BoxFile& box, bool daemon_answers);
CertificateEvidence probe_certificate(const std::string& folder);
std::vector<ControllerEvidence> probe_controllers(const BoxFile& box);
// For each "ADDRESS:PORT" of a peer: the largest UDP payload that the kernel would send whole.
KernelPayload kernel_payloads(const std::vector<std::string>& addresses);

}  // namespace qanat::cli
