#include "identifiers/proto/config_state.hh"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <tuple>

#include "identifiers/proto/errc.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::proto {
namespace {

using PkeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using MdPtr = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

[[noreturn]] void crypto_broken(const char* what) {
  std::fprintf(stderr, "OpenSSL failed in %s\n", what);
  std::abort();
}

void append_big_endian(std::string& out, std::uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(value >> shift & 0xff));
}

void serialise(const google::protobuf::MessageLite& message, std::string& out) {
  const std::size_t size = message.ByteSizeLong();
  out.resize(size);
  google::protobuf::io::ArrayOutputStream stream(out.data(), static_cast<int>(size));
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeWithCachedSizes(&coded);
}

std::string serialise(const google::protobuf::MessageLite& message) {
  std::string out;
  serialise(message, out);
  return out;
}

std::uint64_t key_of(const v1::NodeRecord& n) { return n.node_id(); }
std::uint64_t key_of(const v1::SrPolicy& p) { return std::uint64_t{p.endpoint()} << 8 | (p.tier() & 0xff); }
std::uint64_t key_of(const v1::Tenant& t) { return t.vni(); }
std::uint64_t key_of(const v1::RelayKey& k) { return k.epoch(); }

template <class Table>
void sort_unique(Table& table) {
  std::stable_sort(table.pointer_begin(), table.pointer_end(),
                   [](const auto* a, const auto* b) { return key_of(*a) < key_of(*b); });
  int kept = 0;
  for (int i = 0; i < table.size(); ++i) {
    if (i + 1 < table.size() && key_of(table[i]) == key_of(table[i + 1])) continue;
    if (kept != i) table.SwapElements(kept, i);
    ++kept;
  }
  table.DeleteSubrange(kept, table.size() - kept);
}

template <class Table, class Keys>
void remove_keys(Table& table, const Keys& removed) {
  if (removed.empty()) return;
  std::vector<std::uint64_t> keys(removed.begin(), removed.end());
  std::sort(keys.begin(), keys.end());
  int kept = 0;
  for (int i = 0; i < table.size(); ++i) {
    if (std::binary_search(keys.begin(), keys.end(), key_of(table[i]))) continue;
    if (kept != i) table.SwapElements(kept, i);
    ++kept;
  }
  table.DeleteSubrange(kept, table.size() - kept);
}

// Rows of `target` that are new or changed go to `upserts`, keys that are gone to `gone`. Both tables are
// sorted.
template <class Table, class Gone>
void diff(const Table& held, const Table& target, Table& upserts, Gone add_gone) {
  std::string before, after;
  auto h = held.begin();
  auto t = target.begin();
  while (h != held.end() || t != target.end()) {
    if (t == target.end() || (h != held.end() && key_of(*h) < key_of(*t))) {
      add_gone(key_of(*h++));
    } else if (h == held.end() || key_of(*t) < key_of(*h)) {
      *upserts.Add() = *t++;
    } else {
      serialise(*h, before);
      serialise(*t, after);
      if (before != after) *upserts.Add() = *t;
      ++h, ++t;
    }
  }
}

bool keys_present(const v1::NodeConfig& c) {
  return std::all_of(c.nodes().begin(), c.nodes().end(), [](const auto& n) { return n.node_id() != 0; }) &&
         std::all_of(c.policies().begin(), c.policies().end(),
                     [](const auto& p) { return p.endpoint() != 0 && p.tier() <= 0xff; }) &&
         std::all_of(c.tenants().begin(), c.tenants().end(), [](const auto& t) { return t.vni() != 0; });
}

}  // namespace

void canonicalise(v1::NodeConfig& config) {
  sort_unique(*config.mutable_nodes());
  sort_unique(*config.mutable_policies());
  sort_unique(*config.mutable_tenants());
  sort_unique(*config.mutable_relay_keys());
  auto& denied = *config.mutable_denied_headends();
  std::sort(denied.begin(), denied.end());
  denied.erase(std::unique(denied.begin(), denied.end()), denied.end());
}

namespace {

Digest sha256(const std::string& bytes) {
  Digest digest{};
  unsigned length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1) {
    crypto_broken("SHA-256");
  }
  return digest;
}

}  // namespace

Digest digest_of(const v1::NodeConfig& config) { return sha256(serialise(config)); }

Ed25519Signature sign(std::string_view message, const Ed25519Private& key) {
  PkeyPtr pkey(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, key.data(), key.size()),
               EVP_PKEY_free);
  MdPtr context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  Ed25519Signature signature{};
  std::size_t length = signature.size();
  if (!pkey || !context || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &length,
                     reinterpret_cast<const unsigned char*>(message.data()), message.size()) != 1) {
    crypto_broken("Ed25519 signing");
  }
  return signature;
}

bool verify(std::string_view message, std::string_view signature, const Ed25519Public& key) {
  if (signature.size() != Ed25519Signature{}.size()) return false;
  PkeyPtr pkey(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.data(), key.size()), EVP_PKEY_free);
  MdPtr context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  return pkey && context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) == 1 &&
         EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                          signature.size(), reinterpret_cast<const unsigned char*>(message.data()),
                          message.size()) == 1;
}

Ed25519Public public_of(const Ed25519Private& key) {
  PkeyPtr pkey(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, key.data(), key.size()),
               EVP_PKEY_free);
  Ed25519Public out{};
  std::size_t length = out.size();
  if (!pkey || EVP_PKEY_get_raw_public_key(pkey.get(), out.data(), &length) != 1)
    crypto_broken("Ed25519 public key");
  return out;
}

std::string config_signing_input(std::uint64_t epoch, std::uint64_t version, const Digest& digest) {
  std::string out = "qanat-config-v1";
  append_big_endian(out, epoch, 8);
  append_big_endian(out, version, 8);
  out.append(digest.begin(), digest.end());
  return out;
}

std::string binding_signing_input(const v1::NodeRecord& record) {
  std::string out = "qanat-binding-v1";
  append_big_endian(out, record.node_id(), 4);
  append_big_endian(out, record.domain_id() & 0xffff, 2);
  out += record.x25519_public();
  return out;
}

std::string trust_signing_input(const v1::Trust& trust) {
  std::string out = "qanat-trust-v1";
  append_big_endian(out, trust.serial(), 8);
  Digest digest{};
  unsigned length = 0;
  if (EVP_Digest(trust.ca_pem().data(), trust.ca_pem().size(), digest.data(), &length, EVP_sha256(),
                 nullptr) != 1)
    crypto_broken("SHA-256");
  out.append(digest.begin(), digest.end());
  return out + trust.config_public();
}

std::vector<Ed25519Public> config_keys_of(std::string_view bytes) {
  constexpr std::size_t kMost = 2;
  std::vector<Ed25519Public> keys(bytes.size() / sizeof(Ed25519Public));
  if (keys.size() * sizeof(Ed25519Public) != bytes.size() || keys.size() > kMost) return {};
  for (Ed25519Public& key : keys) {
    std::copy_n(bytes.begin(), key.size(), key.begin());
    bytes.remove_prefix(key.size());
  }
  return keys;
}

boost::system::result<v1::NodeConfig> apply(const v1::NodeConfig& held, const v1::ConfigDelta& delta) {
  const v1::NodeConfig& up = delta.upserts();
  if (delta.to_version() == 0 || delta.epoch() == 0 || !keys_present(up)) return Errc::MalformedDelta;
  const auto held_at = std::tuple(held.epoch(), held.version());
  if (std::tuple(delta.epoch(), delta.to_version()) < held_at) return Errc::VersionRegressed;

  v1::NodeConfig next;
  if (delta.from_version() == 0) {
    next = up;
    if (held.epoch() == delta.epoch()) {
      const auto& now_denied = up.denied_headends();
      for (const std::uint32_t id : held.denied_headends()) {
        if (std::find(now_denied.begin(), now_denied.end(), id) == now_denied.end())
          return Errc::DeniedShrunk;
      }
    }
  } else {
    if (std::tuple(delta.epoch(), delta.from_version()) != held_at) return Errc::StaleBase;
    if (delta.to_version() <= delta.from_version()) return Errc::MalformedDelta;
    next = held;
    remove_keys(*next.mutable_nodes(), delta.removed_nodes());
    remove_keys(*next.mutable_policies(), delta.removed_policies());
    remove_keys(*next.mutable_tenants(), delta.removed_tenants());
    remove_keys(*next.mutable_relay_keys(), delta.removed_relay_keys());
    next.mutable_nodes()->MergeFrom(up.nodes());
    next.mutable_policies()->MergeFrom(up.policies());
    next.mutable_tenants()->MergeFrom(up.tenants());
    next.mutable_relay_keys()->MergeFrom(up.relay_keys());
    next.mutable_denied_headends()->MergeFrom(up.denied_headends());
    if (up.has_probe_plan()) *next.mutable_probe_plan() = up.probe_plan();
    if (!up.network_psk().empty()) {
      next.set_network_psk(up.network_psk());
      next.set_network_psk_next(up.network_psk_next());
    }
  }
  next.set_epoch(delta.epoch());
  next.set_version(delta.to_version());
  canonicalise(next);
  return next;
}

boost::system::result<v1::NodeConfig> apply_verified(const v1::NodeConfig& held, const v1::ConfigDelta& delta,
                                                     std::uint32_t own_node_id,
                                                     std::span<const Ed25519Public> keys) {
  auto next = apply(held, delta);
  if (!next) return next;
  if (next->node_id() != own_node_id) return Errc::WrongNode;
  const Digest digest = digest_of(*next);
  if (delta.digest() != std::string_view(reinterpret_cast<const char*>(digest.data()), digest.size())) {
    return Errc::DigestMismatch;
  }
  const std::string signed_text = config_signing_input(next->epoch(), next->version(), digest);
  if (std::none_of(keys.begin(), keys.end(),
                   [&](const Ed25519Public& key) { return verify(signed_text, delta.signature(), key); }))
    return Errc::BadSignature;
  return next;
}

boost::system::result<v1::NodeConfig> apply_verified(const v1::NodeConfig& held, const v1::ConfigDelta& delta,
                                                     std::uint32_t own_node_id, const Ed25519Public& key) {
  return apply_verified(held, delta, own_node_id, std::span(&key, 1));
}

v1::ConfigDelta unsigned_delta(const v1::NodeConfig& held, const v1::NodeConfig& target) {
  v1::ConfigDelta delta;
  delta.set_epoch(target.epoch());
  delta.set_to_version(target.version());
  v1::NodeConfig& up = *delta.mutable_upserts();
  if (held.version() == 0 || held.epoch() != target.epoch() || held.node_id() != target.node_id()) {
    up = target;
  } else {
    delta.set_from_version(held.version());
    diff(held.nodes(), target.nodes(), *up.mutable_nodes(),
         [&](std::uint64_t k) { delta.add_removed_nodes(static_cast<std::uint32_t>(k)); });
    diff(held.policies(), target.policies(), *up.mutable_policies(),
         [&](std::uint64_t k) { delta.add_removed_policies(k); });
    diff(held.tenants(), target.tenants(), *up.mutable_tenants(),
         [&](std::uint64_t k) { delta.add_removed_tenants(static_cast<std::uint32_t>(k)); });
    diff(held.relay_keys(), target.relay_keys(), *up.mutable_relay_keys(),
         [&](std::uint64_t k) { delta.add_removed_relay_keys(static_cast<std::uint32_t>(k)); });
    std::set_difference(target.denied_headends().begin(), target.denied_headends().end(),
                        held.denied_headends().begin(), held.denied_headends().end(),
                        google::protobuf::RepeatedFieldBackInserter(up.mutable_denied_headends()));
    if (target.has_probe_plan() && serialise(target.probe_plan()) != serialise(held.probe_plan())) {
      *up.mutable_probe_plan() = target.probe_plan();
    }
    if (target.network_psk() != held.network_psk() || target.network_psk_next() != held.network_psk_next()) {
      up.set_network_psk(target.network_psk());
      up.set_network_psk_next(target.network_psk_next());
    }
  }
  return delta;
}

bool changes_something(const v1::ConfigDelta& delta) {
  const v1::NodeConfig& up = delta.upserts();
  return delta.from_version() == 0 || delta.removed_nodes_size() != 0 || delta.removed_policies_size() != 0 ||
         delta.removed_tenants_size() != 0 || delta.removed_relay_keys_size() != 0 || up.ByteSizeLong() != 0;
}

std::string sign_delta(v1::ConfigDelta& delta, const v1::NodeConfig& target, const Ed25519Private& key) {
  std::string bytes = serialise(target);
  const Digest digest = sha256(bytes);
  delta.set_digest(digest.data(), digest.size());
  const auto signature = sign(config_signing_input(target.epoch(), target.version(), digest), key);
  delta.set_signature(signature.data(), signature.size());
  return bytes;
}

v1::ConfigDelta make_delta(const v1::NodeConfig& held, const v1::NodeConfig& target,
                           const Ed25519Private& key) {
  v1::ConfigDelta delta = unsigned_delta(held, target);
  sign_delta(delta, target, key);
  return delta;
}

}  // namespace qanat::proto
