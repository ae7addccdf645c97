#include "gateway/access/dns/zone.hh"

#include <algorithm>

#include "identifiers/c_url/match.hh"

namespace qanat::dns {
namespace {

template <class Bytes>
std::string_view view(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// RFC 9460 §2.2: priority, target "." (this very name), then port and hints by rising key.
std::string svcb(const Listing& l) {
  std::string data;
  Writer out(data);
  out.u16(1);
  out.u8(0);
  out.u16(3);
  out.u16(2);
  out.u16(l.port);
  out.u16(4);
  out.u16(4);
  out.bytes(view(l.ipv4));
  out.u16(6);
  out.u16(16);
  out.bytes(view(l.ipv6));
  return data;
}

// The canonical C-URL, in strings of at most 255 bytes.
std::string txt(const c_url::CUrl& url) {
  std::string data;
  const std::string text = "c-url=" + c_url::to_string(url);
  for (std::size_t at = 0; at < text.size(); at += 255) {
    const std::string_view part = std::string_view(text).substr(at, 255);
    data += static_cast<char>(part.size());
    data += part;
  }
  return data;
}

std::string soa_data(const std::string& apex, std::uint32_t serial, const Ttl& ttl) {
  std::string data;
  Writer out(data);
  out.bytes(std::string("\2ns") + apex);
  out.bytes(std::string("\12hostmaster") + apex);
  for (std::uint32_t v : {serial, 60u, 30u, 600u, ttl.negative_s}) out.u32(v);
  return data;
}

}  // namespace

std::vector<std::string> names_of(const c_url::CUrl& url) {
  std::vector<std::string> heads{url.service};
  if (!url.model.empty()) heads.push_back(url.model + "." + url.service);
  std::vector<std::string> names;
  for (const std::string& head : heads) {
    names.push_back(head);
    if (url.location.has_wildcard()) continue;
    std::string region;
    for (auto label = url.location.labels.rbegin(); label != url.location.labels.rend(); ++label) {
      region = region.empty() ? *label : *label + "." + region;
      names.push_back(head + ".at." + region);
    }
  }
  return names;
}

Zone::Zone(std::string_view apex, const std::vector<Listing>& listings, std::uint32_t serial, Ttl ttl)
    : apex_(to_wire(apex).value_or(std::string(1, '\0'))), soa_(soa_data(apex_, serial, ttl)), ttl_(ttl) {
  for (std::size_t i = 0; i < listings.size(); ++i) {
    for (const std::string& name : names_of(listings[i].url)) {
      const auto wire = to_wire(name + "." + to_dotted(apex_));
      if (!wire) continue;
      nodes_[*wire].services.push_back(i);
      // What lies between exists too, empty (RFC 8020).
      for (std::string_view up = *wire; up != apex_;) {
        up.remove_prefix(static_cast<unsigned char>(up.front()) + 1u);
        nodes_.try_emplace(std::string(up));
      }
    }
  }
  for (auto& [name, node] : nodes_) {
    auto& services = node.services;
    std::sort(services.begin(), services.end());
    services.erase(std::unique(services.begin(), services.end()), services.end());
    std::stable_sort(services.begin(), services.end(), [&](std::size_t a, std::size_t b) {
      return c_url::compare_specificity(listings[a].url, listings[b].url) > 0;
    });
    if (services.size() > kMaxServicesPerName) services.resize(kMaxServicesPerName);
    for (Type type : {Type::A, Type::Aaaa, Type::Svcb, Type::Txt})
      for (std::size_t i : services) {
        const Listing& l = listings[i];
        node.records.push_back({type, type == Type::A      ? std::string(view(l.ipv4))
                                      : type == Type::Aaaa ? std::string(view(l.ipv6))
                                      : type == Type::Svcb ? svcb(l)
                                                           : txt(l.url)});
      }
  }
  Node& top = nodes_[apex_];
  top.records.push_back({Type::Soa, soa_});
  top.records.push_back({Type::Ns, std::string("\2ns") + apex_});
  nodes_.try_emplace(std::string("\2ns") + apex_);
}

const std::vector<Record>* Zone::find(std::string_view name) const {
  const auto it = nodes_.find(name);
  return it == nodes_.end() ? nullptr : &it->second.records;
}

std::vector<std::size_t> Zone::services(std::string_view dotted) const {
  const auto wire = to_wire(dotted);
  if (!wire) return {};
  const auto it = nodes_.find(*wire);
  return it == nodes_.end() ? std::vector<std::size_t>{} : it->second.services;
}

}  // namespace qanat::dns
