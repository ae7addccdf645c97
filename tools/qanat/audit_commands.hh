// A gateway's audit tree of calls: what its commands take.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/qanat/places.hh"

namespace qanat::cli {

struct AuditRequest {
  std::string file, key, call, identity;  // of `verify`, `verify`, `proof`, `cosign`
  std::vector<std::string> witnesses;
  std::uint64_t from = 0, to = 0;  // 0: the latest
  bool now = false;
};
int verify_calls(const Options& options, const AuditRequest& request);
int print_proof(const Options& options, const AuditRequest& request);
int print_checkpoint(const Options& options, const AuditRequest& request);
int print_consistency(const Options& options, const AuditRequest& request);
int export_calls(const Options& options);
int cosign_calls(const Options& options, const AuditRequest& request);

}  // namespace qanat::cli
