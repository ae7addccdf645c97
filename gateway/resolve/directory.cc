#include "gateway/resolve/directory.hh"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/hex.hh"
#include "base/openssl_handle.hh"

namespace qanat::resolve {
namespace {

using nlohmann::json;
using Digest = std::unique_ptr<EVP_MD_CTX, base::OpensslDeleter<EVP_MD_CTX_free>>;

bool signed_by(std::string_view text, std::string_view signature, std::string_view public_key) {
  const auto raw_key = base::from_base64(public_key), raw = base::from_base64(signature);
  if (!raw_key || !raw || raw_key->size() != 32 || raw->size() != 64) return false;
  const base::KeyPtr key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw_key->data(), raw_key->size()));
  const Digest digest(EVP_MD_CTX_new());
  return key && digest && EVP_DigestVerifyInit(digest.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(digest.get(), raw->data(), raw->size(),
                          reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1;
}

bool is_http(std::string_view url) {
  return url.size() <= 512 && (url.starts_with("http://") || url.starts_with("https://"));
}

// An object whose members are exactly these; those marked '?' may be missing.
bool has_only(const json& object, std::initializer_list<std::string_view> members) {
  if (!object.is_object()) return false;
  std::size_t found = 0;
  for (std::string_view member : members) {
    const bool optional = member.ends_with('?');
    if (optional) member.remove_suffix(1);
    const bool there = object.contains(std::string(member));
    if (!there && !optional) return false;
    found += there ? 1 : 0;
  }
  return found == object.size();
}

std::optional<std::string> text_of(const json& object, const char* member, std::size_t most) {
  const auto it = object.find(member);
  if (it == object.end()) return std::string();
  if (!it->is_string() || it->get_ref<const std::string&>().size() > most) return std::nullopt;
  return it->get<std::string>();
}

std::optional<std::uint64_t> count_of(const json& object, const char* member, std::uint64_t least,
                                      std::uint64_t most) {
  const auto it = object.find(member);
  if (it == object.end() || !it->is_number_unsigned()) return std::nullopt;
  const auto value = it->get<std::uint64_t>();
  return value >= least && value <= most ? std::optional(value) : std::nullopt;
}

}  // namespace

std::string_view to_string(ListingError error) {
  switch (error) {
    case ListingError::TooLong: return "too_long";
    case ListingError::BadSignature: return "bad_signature";
    case ListingError::NotListing: return "not_a_listing";
    case ListingError::OtherName: return "another_registry";
  }
  return "";
}

boost::system::result<Listing, ListingError> parse_listing(std::string_view document,
                                                           const RegistrySource& from) {
  if (document.size() > kMaxListingBytes) return ListingError::TooLong;
  const std::size_t end = document.substr(0, 256).find('\n');
  if (end == std::string_view::npos) return ListingError::BadSignature;
  const std::string_view body = document.substr(end + 1);
  if (!signed_by(body, document.substr(0, end), from.public_key)) return ListingError::BadSignature;
  const json j = json::parse(body, nullptr, false);
  if (!has_only(j, {"version", "registry", "generation", "ttl_s", "complete", "pools", "registries?"}) ||
      !j["pools"].is_array() || !j["complete"].is_boolean() || !count_of(j, "version", 1, 1))
    return ListingError::NotListing;
  Listing listing;
  const auto name = text_of(j, "registry", 63);
  const auto generation = count_of(j, "generation", 1, INT64_MAX), ttl = count_of(j, "ttl_s", 1, 7 * 86'400);
  if (!name || !generation || !ttl) return ListingError::NotListing;
  if (*name != from.name) return ListingError::OtherName;
  listing.registry = *name;
  listing.generation = *generation;
  listing.ttl = std::chrono::seconds(*ttl);
  listing.complete = j["complete"].get<bool>();
  if (j["pools"].size() > kMaxListedPools) return ListingError::TooLong;
  std::set<std::string> seen;
  for (const json& entry : j["pools"]) {
    if (!has_only(entry, {"id", "url", "node?"})) return ListingError::NotListing;
    const auto id = text_of(entry, "id", 127), url = text_of(entry, "url", 512),
               node = text_of(entry, "node", 63);
    if (!id || id->empty() || !url || !is_http(*url) || !node || !seen.insert(*id).second)
      return ListingError::NotListing;
    listing.pools.push_back({*id, *url, *node});
  }
  if (const auto below = j.find("registries"); below != j.end()) {
    if (!below->is_array()) return ListingError::NotListing;
    if (below->size() > kMaxSources) return ListingError::TooLong;
    seen.clear();
    for (const json& entry : *below) {
      if (!has_only(entry, {"name", "url", "public_key"})) return ListingError::NotListing;
      const auto child = text_of(entry, "name", 63), url = text_of(entry, "url", 512),
                 key = text_of(entry, "public_key", 64);
      if (!child || child->empty() || !url || !is_http(*url) || !key || !seen.insert(*child).second)
        return ListingError::NotListing;
      listing.registries.push_back({*child, *url, *key});
    }
  }
  return listing;
}

Directory::Directory(std::vector<RegistrySource> roots) : roots_(std::move(roots)) { arrange(); }

Directory::Known* Directory::find(const std::string& name) {
  const auto it =
      std::find_if(known_.begin(), known_.end(), [&](const Known& k) { return k.source.name == name; });
  return it == known_.end() ? nullptr : &*it;
}

void Directory::arrange() {
  std::vector<Known> next;
  const auto take = [&](const RegistrySource& source, int depth) {
    if (next.size() >= kMaxSources) return;
    for (const Known& k : next)
      if (k.source.name == source.name) return;  // the nearest to a root says who it is
    Known known;
    // Under another key or at another place it is another one: what the former said does not count for it.
    if (Known* const old = find(source.name); old && old->source == source) known = std::move(*old);
    known.source = source;
    known.depth = depth;
    next.push_back(std::move(known));
  };
  for (const RegistrySource& root : roots_) take(root, 0);
  for (std::size_t i = 0; i < next.size(); ++i) {
    const std::vector<RegistrySource> below = next[i].below;
    if (next[i].depth + 1 < kMaxDepth)
      for (const RegistrySource& source : below) take(source, next[i].depth + 1);
  }
  known_ = std::move(next);
}

std::vector<RegistrySource> Directory::due(base::Time now) {
  std::vector<RegistrySource> list;
  for (Known& k : known_) {
    if (k.asked || now < k.ask_at) continue;
    k.asked = true;
    list.push_back(k.source);
  }
  return list;
}

void Directory::failed(Known& k, std::string why, base::Time now) {
  k.asked = false;
  k.error = std::move(why);
  k.quiet = std::clamp(k.quiet * 2, kFirstQuiet, kLongestQuiet);
  k.ask_at = now + k.quiet;
}

void Directory::on_failure(const std::string& name, std::string why, base::Time now) {
  if (Known* const k = find(name)) failed(*k, std::move(why), now);
}

Directory::Heard Directory::on_document(const std::string& name, std::string_view document, base::Time now) {
  Known* const k = find(name);
  if (!k) return Heard::Refused;
  auto listing = parse_listing(document, k->source);
  if (!listing) {
    failed(*k, std::string(to_string(listing.error())), now);
    return Heard::Refused;
  }
  if (listing->generation < k->generation) {
    failed(*k,
           "generation " + std::to_string(listing->generation) + " is older than " +
               std::to_string(k->generation),
           now);
    return Heard::Older;
  }
  const bool same = listing->generation == k->generation;
  k->asked = false;
  k->error.clear();
  k->quiet = {};
  k->received = now;
  k->ttl = listing->ttl;
  k->ask_at = now + std::max<base::Duration>(listing->ttl / 3, std::chrono::seconds{1});
  if (same) return Heard::Same;
  k->generation = listing->generation;
  k->complete = listing->complete;
  if (listing->complete) k->pools.clear();
  for (ListedPool& pool : listing->pools)
    if (k->pools.size() < kMaxListedPools || k->pools.contains(pool.id)) k->pools[pool.id] = std::move(pool);
  if (listing->complete || !listing->registries.empty()) k->below = std::move(listing->registries);
  arrange();
  return Heard::Newer;
}

std::vector<Directory::Found> Directory::pools(base::Time now) const {
  std::map<std::string, Found> found;
  for (const Known& k : known_) {
    const bool old = now - k.received > k.ttl;
    for (const auto& [id, pool] : k.pools) {
      const auto [it, first] = found.try_emplace(id, Found{pool, {}, true});
      it->second.registries.push_back(k.source.name);
      it->second.old = it->second.old && old;
    }
  }
  std::vector<Found> list;
  for (auto& [id, f] : found) list.push_back(std::move(f));
  return list;
}

std::vector<Directory::Status> Directory::status(base::Time now) const {
  std::vector<Status> list;
  for (const Known& k : known_)
    list.push_back({k.source, k.depth, k.generation, k.pools.size(), k.complete,
                    k.generation != 0 && now - k.received > k.ttl, k.error});
  return list;
}

}  // namespace qanat::resolve
