#include "gateway/access/catalogue.hh"

#include <algorithm>

namespace qanat::access {
namespace {

bool may(const Service& service, const Catalogue::Tenant& tenant) {
  return service.open() || (tenant && std::find(service.tenants.begin(), service.tenants.end(), *tenant) !=
                                          service.tenants.end());
}

}  // namespace

Catalogue::Catalogue(CatalogueOptions options) : options_(std::move(options)) {}

Catalogue::Put Catalogue::put(Service service) {
  service.url.query.clear();
  service.ipv6 = c_url::service_sid(service.url, options_.prefix6);
  for (Service& other : services_) {
    if (other.same_as(service)) {
      other.backends = std::move(service.backends);
      other.tenants = std::move(service.tenants);
      changed();
      return Put::Replaced;
    }
    if (other.url != service.url && other.ipv6 == service.ipv6) return Put::Collision;
  }
  if (services_.size() == kMaxServices) return Put::Full;
  // One address for all ports of a C-URL; where two meet, the later one tries on.
  for (std::uint32_t attempt = 0;; ++attempt) {
    service.ipv4 = c_url::service_ipv4(service.url, attempt, options_.prefix4);
    if (std::none_of(services_.begin(), services_.end(), [&](const Service& other) {
          return other.ipv4 == service.ipv4 && other.url != service.url;
        }))
      break;
  }
  services_.push_back(std::move(service));
  changed();
  return Put::Added;
}

bool Catalogue::erase(const c_url::CUrl& url, Protocol protocol, std::uint16_t port) {
  c_url::CUrl bare = url;
  bare.query.clear();
  const auto gone = std::erase_if(
      services_, [&](const Service& s) { return s.url == bare && s.protocol == protocol && s.port == port; });
  if (gone != 0) changed();
  return gone != 0;
}

const Catalogue::Derived& Catalogue::derived() const {
  if (derived_ != nullptr) return *derived_;
  auto made = std::make_unique<Derived>();
  std::vector<dns::Listing> all, open;
  resolve::Index::Builder builder;
  for (std::size_t i = 0; i < services_.size(); ++i) {
    const Service& s = services_[i];
    const dns::Listing listing{s.url, s.port, s.ipv4, s.ipv6};
    all.push_back(listing);
    if (s.open()) open.push_back(listing);
    c_url::Offer offer;
    offer.provider = s.url.provider;
    offer.location = s.url.location;
    offer.services = {s.url.service};
    offer.model = s.url.model;
    offer.version = s.url.version;
    builder.add(offer, i);
  }
  made->index = std::move(builder).build();
  made->names = std::make_unique<const dns::Zone>(options_.zone, all, serial_, options_.ttl);
  made->open = std::make_shared<const dns::Zone>(options_.zone, open, serial_, options_.ttl);
  derived_ = std::move(made);
  return *derived_;
}

std::shared_ptr<const dns::Zone> Catalogue::zone() const { return derived().open; }

const Service* Catalogue::find_name(std::string_view host, std::uint16_t port, Protocol protocol,
                                    const Tenant& tenant) const {
  for (std::size_t i : derived().names->services(host)) {
    const Service& s = services_[i];
    if (s.port == port && s.protocol == protocol && may(s, tenant)) return &s;
  }
  return nullptr;
}

const Service* Catalogue::find_url(const c_url::Flat& request, Protocol protocol,
                                   const Tenant& tenant) const {
  std::vector<std::uint64_t> found(services_.size());
  found.resize(derived().index.lookup(request, found));
  for (std::uint64_t i : found) {
    const Service& s = services_[i];
    if (s.protocol == protocol && may(s, tenant)) return &s;
  }
  return nullptr;
}

}  // namespace qanat::access
