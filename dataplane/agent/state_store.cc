#include "dataplane/agent/state_store.hh"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <system_error>
#include <thread>

#include "base/file.hh"
#include "base/hex.hh"
#include "dataplane/agent/node_identity.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::agent {
namespace {

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

constexpr int kCorrupt = EBADMSG;
constexpr int kLockTries = 50;  // of 20 ms
constexpr std::chrono::hours kPreviousLife{
    24};  // of a static key that was rotated, for boxes that did not hear of it

}  // namespace

StateStore::StateStore(std::filesystem::path folder) : folder_(std::move(folder)) {
  std::error_code error;
  if (std::filesystem::create_directories(folder_, error)) {
    std::filesystem::permissions(folder_, std::filesystem::perms::owner_all, error);
  }
  if (error) throw std::system_error(error, "make state folder " + folder_.string());
  lock_ = ::open(path("lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) fail(errno, "open " + path("lock"));
  // A predecessor that was just killed may still be on its way out.
  int locked = ::flock(lock_, LOCK_EX | LOCK_NB);
  for (int tries = 0; locked != 0 && errno == EWOULDBLOCK && tries < kLockTries; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    locked = ::flock(lock_, LOCK_EX | LOCK_NB);
  }
  if (locked != 0) {
    const int error_number = errno;
    ::close(lock_);
    fail(error_number, "lock " + path("lock") + " (another daemon uses this state folder)");
  }
}

StateStore::~StateStore() { ::close(lock_); }

std::string StateStore::path(std::string_view file) const { return (folder_ / file).string(); }

std::optional<std::string> StateStore::read(std::string_view file) const {
  try {
    return base::read_file(path(file), 64u << 20);
  } catch (const std::system_error& e) {
    if (e.code() == std::errc::no_such_file_or_directory) return std::nullopt;
    throw;
  }
}

std::string StateStore::identity_key() {
  if (auto pem = read("identity.key")) {
    if (!public_key_of_private(*pem)) fail(kCorrupt, path("identity.key") + " holds no Ed25519 private key");
    return *pem;
  }
  std::string pem = make_identity_key();
  base::write_file(path("identity.key"), pem);
  return pem;
}

std::optional<crypto::KeyPair> StateStore::read_pair(std::string_view file) const {
  const auto text = read(file);
  if (!text) return std::nullopt;
  auto bytes = base::from_hex(std::string_view(*text).substr(0, text->find_last_not_of(" \r\n") + 1));
  if (!bytes || bytes->size() != crypto::kKeyBytes)
    fail(kCorrupt, path(file) + " holds no X25519 private key (64 hexadecimal digits)");
  const auto pair = crypto::KeyPair::from_secret(*crypto::SecretKey::from_bytes(*bytes));
  crypto::wipe(bytes->data(), bytes->size());
  return pair;
}

crypto::KeyPair StateStore::make_pair(std::string_view file) {
  auto bytes = base::random_bytes(crypto::kKeyBytes);
  base::write_file(path(file), base::to_hex(bytes) + "\n");
  const auto pair = crypto::KeyPair::from_secret(*crypto::SecretKey::from_bytes(bytes));
  crypto::wipe(bytes.data(), bytes.size());
  return pair;
}

std::optional<std::chrono::seconds> StateStore::age(std::string_view file) const {
  std::error_code error;
  const auto written = std::filesystem::last_write_time(path(file), error);
  if (error) return std::nullopt;
  return std::chrono::duration_cast<std::chrono::seconds>(std::filesystem::file_time_type::clock::now() -
                                                          written);
}

crypto::KeyPair StateStore::static_keys() {
  if (const auto pair = read_pair("static.key")) return *pair;
  return make_pair("static.key");
}

std::optional<crypto::KeyPair> StateStore::next_static_keys() const { return read_pair("static.next"); }
crypto::KeyPair StateStore::make_next_static_keys() { return make_pair("static.next"); }

std::optional<crypto::KeyPair> StateStore::previous_static_keys() const {
  const auto since = age("static.previous");
  if (!since || *since > kPreviousLife) return std::nullopt;
  return read_pair("static.previous");
}

// At no instant is the key in use nowhere on disk.
void StateStore::promote_next_static_keys() {
  if (const auto old = read("static.key")) base::write_file(path("static.previous"), *old);
  std::filesystem::rename(path("static.next"), path("static.key"));
  std::filesystem::last_write_time(path("static.key"), std::filesystem::file_time_type::clock::now());
}

unsigned StateStore::static_key_days() const {
  const auto since = age("static.key").value_or(std::chrono::seconds{0});
  return since.count() <= 0 ? 0u : static_cast<unsigned>(since / std::chrono::hours(24));
}

std::uint32_t StateStore::next_boot() {
  std::uint32_t boot = 0;
  if (const auto text = read("boot")) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), boot);
    if (error != std::errc() || boot == UINT32_MAX)
      fail(kCorrupt, path("boot") + " holds no start counter below 2^32−1");
  }
  base::write_file(path("boot"), std::to_string(++boot) + "\n");
  return boot;
}

std::unique_ptr<proto::v1::EnrolReply> StateStore::enrolment() const {
  const auto bytes = read("enrolment");
  if (!bytes) return nullptr;
  auto reply = std::make_unique<proto::v1::EnrolReply>();
  if (!reply->ParseFromString(*bytes)) fail(kCorrupt, path("enrolment") + " is not an enrolment");
  return reply;
}

void StateStore::keep_enrolment(const proto::v1::EnrolReply& reply) {
  base::write_file(path("enrolment"), reply.SerializeAsString());
}

std::optional<base::Result<StoredConfig>> StateStore::config() const {
  const auto bytes = read("config");
  if (!bytes) return std::nullopt;
  return parse_stored(*bytes);
}

void StateStore::keep_config(const HeldConfig& in_force, const HeldConfig* other) {
  base::write_file(path("config"), serialize_stored(in_force, other));
}

}  // namespace qanat::agent
