// Zone: the names that the gateway answers for, with the data of each; a snapshot, replaced as a whole.
//
//   [MODEL.]SERVICE[.at.LOCATION].ZONE     deepseek-r1-distill-qwen-32b.infer.at.gz.cn.qanat
//
// LOCATION is where a service stands, or a region around it; without it: anywhere. What no DNS label can hold (a
// model with an empty label) has no name here. Read by any number of threads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gateway/access/dns/message.hh"
#include "identifiers/c_url/c_url.hh"
#include "identifiers/c_url/service_address.hh"

namespace qanat::dns {

// A published service as DNS shows it.
struct Listing {
  c_url::CUrl url;
  std::uint16_t port = 0;
  c_url::Ipv4Bytes ipv4{};
  c_url::Ipv6Bytes ipv6{};
};

struct Ttl {
  std::uint32_t positive_s = 30;  // services move: short, but long enough to be cached at all
  std::uint32_t negative_s = 5;   // RFC 2308
};

struct Record {
  Type type{};
  std::string data;  // RDATA, ready
};

class Zone {
 public:
  static constexpr std::size_t kMaxServicesPerName = 8;  // the most specific ones

  // `apex`: "qanat"; it must be a name.
  Zone(std::string_view apex, const std::vector<Listing>& listings, std::uint32_t serial, Ttl ttl = {});

  std::string_view apex() const { return apex_; }  // wire form
  const Ttl& ttl() const { return ttl_; }
  const std::string& soa() const { return soa_; }  // RDATA
  // What stands at a wire name; nullptr: it does not exist. A name that only has names below it is empty.
  const std::vector<Record>* find(std::string_view name) const;
  // Which listings a name stands for, by their place in the constructor's vector, the most specific first.
  std::vector<std::size_t> services(std::string_view dotted) const;
  std::size_t names() const { return nodes_.size(); }

 private:
  struct Node {
    std::vector<std::size_t> services;
    std::vector<Record> records;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::string apex_, soa_;
  Ttl ttl_;
  std::unordered_map<std::string, Node, Hash, std::equal_to<>> nodes_;
};

// Every name of a service below the apex, dotted.
std::vector<std::string> names_of(const c_url::CUrl& url);

}  // namespace qanat::dns
