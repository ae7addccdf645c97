// Doctor: what the evidence of one box says is wrong with it, and what to do about it.
// Evidence in, findings out: gathering it (doctor_probes.hh) and printing (doctor_command.cc) are elsewhere, so that each
// judgement is a unit test of a few lines.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hh"

namespace qanat::cli {

// Unknown: it could not be looked at; `what` says why. Note: it works, and not as well as it could.
enum class Verdict : std::uint8_t { Good, Unknown, Note, Fault };
const char* to_string(Verdict verdict);

struct Finding {
  std::string
      check;  // tun, configuration, state, address, certificate, daemon, controller, clock, udp, mtu, offload, pool
  Verdict verdict = Verdict::Good;
  std::string what;
  std::string remedy;  // empty where nothing is to be done
};

// How far an attempt to speak TLS with a controller came.
struct ControllerEvidence {
  enum class Came : std::uint8_t {
    Trusted,      // it shows a certificate of our CA
    Refused,      // its host is there, nobody listens
    Silent,       // no answer at all
    Untrusted,    // a certificate of another CA
    NotYetValid,  // of our CA, valid only in the future of our clock
    Expired,      // of our CA, past its end by our clock
    Broken,       // neither: `detail` says what
  } came{};
  std::string address;  // as configured
  std::string detail;
};

struct CertificateEvidence {
  bool there = false;
  bool of_our_ca = true;  // a CA that we hold signed it
  base::UnixSeconds not_before = 0, not_after = 0;
  std::string file;
};

// A UDP payload's most bytes on the way to an address, as the kernel believes.
using KernelPayload = std::map<std::string, unsigned>;

Finding judge_controllers(const std::vector<ControllerEvidence>& controllers);
Finding judge_certificate(const CertificateEvidence& certificate, base::UnixSeconds now);
// Of /v1/status, and of what TLS said of times when the daemon knows nothing of its controller's clock.
Finding judge_clock(const nlohmann::json& status, const std::vector<ControllerEvidence>& controllers,
                    const CertificateEvidence& certificate, base::UnixSeconds now);
// Of /v1/peers: one for each plane on which nothing comes back, or one that all is well. ports: by plane.
std::vector<Finding> judge_udp(const nlohmann::json& peers, const std::map<unsigned, std::string>& lines);
std::vector<Finding> judge_mtu(const nlohmann::json& status, const nlohmann::json& peers,
                               const KernelPayload& kernel);
Finding judge_offload(const nlohmann::json& status, const nlohmann::json& counters);
// Of a gateway's /v1/pools.
std::vector<Finding> judge_pools(const nlohmann::json& pools);

}  // namespace qanat::cli
