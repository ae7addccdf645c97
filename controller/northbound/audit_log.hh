// AuditLog: who changed what, when, from where, and with what result. One line of JSON per change, each holding the SHA-256 of
// the line before it: what is altered, left out or put in between shows to whoever follows the chain. Bytes are kept as written
// and never serialised again. (Who can write the store can write a whole new chain: keep a head elsewhere, GET /v1/audit shows
// it.)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.hh"
#include "controller/northbound/access.hh"

namespace qanat::store {
class Store;
}

namespace qanat::northbound {

struct AuditEntry {
  Caller caller;
  std::string from;    // "192.0.2.7:4711", "unix"
  std::string action;  // "PUT /v1/tenants/lab"
  std::string body;    // as sent; its SHA-256 is kept
  int status = 0;
  std::string result;  // "version 4", or an error's code
};

class AuditLog {
 public:
  explicit AuditLog(store::Store& store) : store_(store) { read_head(); }

  void add(const AuditEntry& entry, base::UnixSeconds now);
  struct Line {
    std::uint64_t sequence = 0;
    std::string
        text;  // {"sequence","unix_s","who","role","from","action","body_sha256","status","result","previous"}
    std::string hash;  // SHA-256 of the text, hexadecimal; the next line's "previous"
  };
  // In order, after `after`.
  std::vector<Line> lines(std::uint64_t after, std::size_t limit) const;
  std::uint64_t count() const { return count_; }
  // The newest line's; of an empty log 64 zeros.
  const std::string& head() const { return head_; }
  // The first line whose chain is broken; 0: none is.
  std::uint64_t first_broken() const;

 private:
  void read_head();
  store::Store& store_;
  std::uint64_t count_ = 0;
  std::string head_ = std::string(64, '0');
};

}  // namespace qanat::northbound
