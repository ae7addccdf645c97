// StateStore: the folder that holds what a box needs to come up alone, mode 0700, every file 0600 and
// replaced whole.
//   identity.key   Ed25519 private key, PEM              enrolment   certificate, CA, node number
//   (EnrolReply) static.key     X25519 private key, hexadecimal; static.next, static.previous while it is rotated
//   config      last good signed
//   configuration (held_config.hh) boot           number of starts, decimal             lock        held by
//   the running daemon
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "dataplane/agent/held_config.hh"
#include "dataplane/crypto/keys.hh"

namespace qanat::proto::v1 {
class EnrolReply;
}

namespace qanat::agent {

// All throw std::system_error that names the file.
class StateStore {
 public:
  // Makes the folder if need be and locks it: two daemons on one state would reuse boot counters.
  explicit StateStore(std::filesystem::path folder);
  ~StateStore();
  StateStore(const StateStore&) = delete;
  StateStore& operator=(const StateStore&) = delete;

  // Made on first use.
  std::string identity_key();
  crypto::KeyPair static_keys();
  // A static key that is being rotated: the next one, until a configuration binds it; the one before, for a day.
  std::optional<crypto::KeyPair> next_static_keys() const;
  crypto::KeyPair make_next_static_keys();
  std::optional<crypto::KeyPair> previous_static_keys() const;
  void promote_next_static_keys();
  // Days since the static key was made or promoted.
  unsigned static_key_days() const;
  // One more than at the last start, written before it is returned.
  std::uint32_t next_boot();

  std::unique_ptr<proto::v1::EnrolReply> enrolment() const;  // null before enrolment
  void keep_enrolment(const proto::v1::EnrolReply& reply);

  // Nothing when there is none; parse errors are the caller's to report.
  std::optional<base::Result<StoredConfig>> config() const;
  void keep_config(const HeldConfig& in_force, const HeldConfig* other);

  std::string path(std::string_view file) const;

 private:
  std::optional<std::string> read(std::string_view file) const;
  std::optional<crypto::KeyPair> read_pair(std::string_view file) const;
  crypto::KeyPair make_pair(std::string_view file);
  std::optional<std::chrono::seconds> age(std::string_view file) const;

  std::filesystem::path folder_;
  int lock_ = -1;
};

}  // namespace qanat::agent
