// Catalogue: the services published at this gateway: put, taken away, found by C-URL and by DNS name. Sans-I/O.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/access/dns/zone.hh"
#include "gateway/access/service.hh"
#include "gateway/resolve/index.hh"
#include "identifiers/c_url/flat.hh"

namespace qanat::access {

struct CatalogueOptions {
  std::string zone = "qanat";
  dns::Ttl ttl;
  c_url::Ipv4Bytes prefix4 = c_url::kServicePrefix4;
  c_url::Ipv6Bytes prefix6 = c_url::kServicePrefix6;
};

class Catalogue {
 public:
  static constexpr std::size_t kMaxServices = 4096;

  explicit Catalogue(CatalogueOptions options);

  enum class Put : std::uint8_t {
    Added,
    Replaced,  // the same C-URL, protocol and port: only backends and tenants are new
    Full,
    Collision,  // another name maps to the same service SID (2⁻⁶⁴ by chance)
  };
  // The query of its C-URL is dropped; its addresses are given here.
  Put put(Service service);
  bool erase(const c_url::CUrl& url, Protocol protocol, std::uint16_t port);
  const std::vector<Service>& services() const { return services_; }

  // Who asks: a tenant's name, or nobody known. What it may not dial does not exist for it.
  using Tenant = std::optional<std::string>;
  // By DNS name ("web.at.gz.cn.qanat"): the most specific one on that port.
  const Service* find_name(std::string_view host, std::uint16_t port, Protocol protocol,
                           const Tenant& tenant) const;
  // By C-URL: the first that meets it.
  const Service* find_url(const c_url::Flat& request, Protocol protocol, const Tenant& tenant) const;

  // Of open services; replaced at each change. Any thread may keep it.
  std::shared_ptr<const dns::Zone> zone() const;
  const CatalogueOptions& options() const { return options_; }

 private:
  // What follows from the services, made when it is first asked for after a change.
  struct Derived {
    resolve::Index index;
    std::unique_ptr<const dns::Zone> names;  // of all services
    std::shared_ptr<const dns::Zone> open;   // of those that are open
  };
  const Derived& derived() const;
  void changed() {
    ++serial_;
    derived_.reset();
  }

  CatalogueOptions options_;
  std::vector<Service> services_;
  std::uint32_t serial_ = 1;
  mutable std::unique_ptr<const Derived> derived_;
};

}  // namespace qanat::access
