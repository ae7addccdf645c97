// What the lab's etcd needs to be asked over TLS and by those alone who may: certificates, a user, and its password.
#pragma once

#include <string>
#include <vector>

namespace qanat::lab {

inline constexpr const char* kEtcdUser = "qanat";

struct EtcdKeys {
  std::string ca_pem;
  std::string certificate_pem;  // of all members, for each other too
  std::string key_pem;
};
// Good for a year, for members at these IP addresses. Throws LabError.
EtcdKeys make_etcd_keys(const std::vector<std::string>& addresses);

// Makes the user, with a role that reads and writes under /qanat/, and asks everybody for a password from then on.
// `endpoint` is a member of a cluster that works; from its network namespace. Throws LabError.
void guard_etcd(const std::string& endpoint, const std::string& ca_pem, const std::string& password);

}  // namespace qanat::lab
