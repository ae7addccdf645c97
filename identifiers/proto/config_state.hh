// A node's configuration as both ends of the control protocol see it: canonical order, digest, signature,
// deltas. The controller signs what the node will hold after applying, so a lost or forged delta cannot go
// unnoticed.
#pragma once

#include <array>
#include <boost/system/result.hpp>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qanat::proto::v1 {
class NodeConfig;
class ConfigDelta;
class NodeRecord;
class Trust;
}  // namespace qanat::proto::v1

namespace qanat::proto {

using Digest = std::array<std::uint8_t, 32>;
using Ed25519Public = std::array<std::uint8_t, 32>;
using Ed25519Private = std::array<std::uint8_t, 32>;  // the seed (RFC 8032 §5.1.5)
using Ed25519Signature = std::array<std::uint8_t, 64>;

// Sorts every table by its key, as southbound.proto says; of rows with equal keys the last stays.
void canonicalise(v1::NodeConfig& config);

// SHA-256 over the deterministic protobuf serialisation. `config` must be canonical.
Digest digest_of(const v1::NodeConfig& config);

// Ed25519 (RFC 8032) over any bytes.
Ed25519Signature sign(std::string_view message, const Ed25519Private& key);
bool verify(std::string_view message, std::string_view signature, const Ed25519Public& key);
Ed25519Public public_of(const Ed25519Private& key);

// "qanat-config-v1" ‖ epoch (u64) ‖ version (u64) ‖ digest, network order: what a ConfigDelta's signature
// covers.
std::string config_signing_input(std::uint64_t epoch, std::uint64_t version, const Digest& digest);

// "qanat-binding-v1" ‖ node_id (u32) ‖ domain_id (u16) ‖ x25519_public: what NodeRecord.binding_signature
// covers.
std::string binding_signing_input(const v1::NodeRecord& record);

// "qanat-trust-v1" ‖ serial (u64) ‖ SHA-256(ca_pem) ‖ config_public: what Trust.signature covers.
std::string trust_signing_input(const v1::Trust& trust);

// The configuration keys of an EnrolReply or a Trust: one, or two while they are replaced. Empty: they are malformed.
std::vector<Ed25519Public> config_keys_of(std::string_view bytes);

// `held` with `delta` applied, canonical, at the delta's (epoch, to_version). Checks versions and keys,
// neither digest nor signature: StaleBase, VersionRegressed, MalformedDelta, DeniedShrunk. `held` may be a
// default NodeConfig (nothing held).
boost::system::result<v1::NodeConfig> apply(const v1::NodeConfig& held, const v1::ConfigDelta& delta);

// The node's side: apply, then WrongNode, DigestMismatch, BadSignature unless one of `keys` signed it. Only its result may
// be used or persisted.
boost::system::result<v1::NodeConfig> apply_verified(const v1::NodeConfig& held, const v1::ConfigDelta& delta,
                                                     std::uint32_t own_node_id,
                                                     std::span<const Ed25519Public> keys);
boost::system::result<v1::NodeConfig> apply_verified(const v1::NodeConfig& held, const v1::ConfigDelta& delta,
                                                     std::uint32_t own_node_id, const Ed25519Public& key);

// The controller's side: the smallest delta that takes `held` to `target` (both canonical; target's epoch and
// version are those to reach), signed. `held` of another epoch or version 0 gives a full snapshot.
v1::ConfigDelta make_delta(const v1::NodeConfig& held, const v1::NodeConfig& target,
                           const Ed25519Private& key);

// The same in steps, for who pushes to a thousand nodes: what is different; whether that is anything at all (a snapshot
// always is); and digest and signature, which gives the target's canonical bytes as well.
v1::ConfigDelta unsigned_delta(const v1::NodeConfig& held, const v1::NodeConfig& target);
bool changes_something(const v1::ConfigDelta& delta);
std::string sign_delta(v1::ConfigDelta& delta, const v1::NodeConfig& target, const Ed25519Private& key);

}  // namespace qanat::proto
