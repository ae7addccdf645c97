// Directory: which pools there are, as registries list them: a nation's, its regions', an industry's, each a signed document
// that may name others below it. A pool that several list is one pool. How a pool is doing is not in here: gateways ask it
// themselves, so that calls go on when every registry is gone.
//
// A listing, one document:
//   line 1: an Ed25519 signature in base64 over every byte after that line's end
//   then JSON, version 1; unknown members are errors:
//   {"version":1,"registry":"national","generation":42,"ttl_s":300,"complete":true,
//    "pools":[{"id":"far1-h20","url":"http://100.96.2.1:9000","node":"far1"}],
//    "registries":[{"name":"gz","url":"http://100.96.3.1:8081/gz.listing","public_key":"…"}]}
// An older generation never replaces a newer one. One that is not complete adds and changes, and takes nothing away. Its age
// counts from when it was received, on this clock; past its TTL what it said stays and is said to be old.
//
// Sans-I/O; app/registry_follower fetches.
#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hh"

namespace qanat::resolve {

struct RegistrySource {
  std::string name, url;
  std::string public_key;  // Ed25519, 32 bytes in base64
  bool operator==(const RegistrySource&) const = default;
};

struct ListedPool {
  std::string id, url, node;  // node: the box it stands behind; may be empty
  bool operator==(const ListedPool&) const = default;
};

struct Listing {
  std::string registry;
  std::uint64_t generation = 0;
  base::Duration ttl{};
  bool complete = true;
  std::vector<ListedPool> pools;
  std::vector<RegistrySource> registries;
};

enum class ListingError : std::uint8_t {
  TooLong,       // over kMaxListingBytes, kMaxListedPools or kMaxSources
  BadSignature,  // none, or not with that key
  NotListing,    // not this form, an unknown member, a pool or a registry twice
  OtherName,     // signed, and another registry's
};
std::string_view to_string(ListingError error);

inline constexpr std::size_t kMaxListingBytes = 4 * 1024 * 1024, kMaxListedPools = 10'000, kMaxSources = 64;
boost::system::result<Listing, ListingError> parse_listing(std::string_view document,
                                                           const RegistrySource& from);

class Directory {
 public:
  static constexpr int kMaxDepth = 3;  // nation, region, industry
  // A registry that does not answer, or not well, is left alone this long, doubling up to kLongestQuiet.
  static constexpr base::Duration kFirstQuiet = std::chrono::seconds{1},
                                  kLongestQuiet = std::chrono::minutes{2};

  explicit Directory(std::vector<RegistrySource> roots);

  // Those to ask now; each once until one of the three below says what came.
  std::vector<RegistrySource> due(base::Time now);
  enum class Heard : std::uint8_t { Newer, Same, Older, Refused };
  Heard on_document(const std::string& name, std::string_view document, base::Time now);
  void on_failure(const std::string& name, std::string why, base::Time now);

  // Every pool once, by id; the registry that is nearest to the roots, in their order, says where it is.
  struct Found {
    ListedPool pool;
    std::vector<std::string> registries;  // that list it
    bool old = false;                     // all of them past their TTL
  };
  std::vector<Found> pools(base::Time now) const;

  struct Status {
    RegistrySource source;
    int depth = 0;
    std::uint64_t generation = 0;  // 0: nothing was heard yet
    std::size_t pools = 0;
    bool complete = false, old = false;
    std::string error;  // of the last try; empty: it went well
  };
  std::vector<Status> status(base::Time now) const;

 private:
  struct Known {
    RegistrySource source;
    int depth = 0;
    std::uint64_t generation = 0;
    bool complete = false;
    base::Duration ttl{}, quiet{};
    base::Time received{}, ask_at{};
    bool asked = false;
    std::map<std::string, ListedPool> pools;  // by id
    std::vector<RegistrySource> below;
    std::string error;
  };
  Known* find(const std::string& name);
  void failed(Known& known, std::string why, base::Time now);
  // Those that somebody names, in order of depth; those that nobody names any more are forgotten.
  void arrange();

  std::vector<RegistrySource> roots_;
  std::vector<Known> known_;  // breadth first
};

}  // namespace qanat::resolve
