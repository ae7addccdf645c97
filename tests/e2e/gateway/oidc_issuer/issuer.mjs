// The npm package `oidc-provider` as an identity provider: machines sign in with their secret and get a signed access token
// that names their tenant. A new key at every start.
//   node issuer.mjs PORT        (run from the folder that holds node_modules)
import { generateKeyPairSync } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import process from 'node:process';

const require = createRequire(process.cwd() + '/');
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')).href);
const port = Number(process.argv[2]);
const key = (type, options, alg) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), use: 'sig', alg, kid: `${alg}-${Date.now()}`,
});
const machine = (name) => ({
  client_id: name, client_secret: `${name}-secret`, grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
});
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [machine('lab'), machine('nobody')],
  jwks: { keys: [key('rsa', { modulusLength: 2048 }, 'RS256'), key('ec', { namedCurve: 'P-256' }, 'ES256')] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({
        scope: 'call', audience: resource.replace('urn:', ''), accessTokenFormat: 'jwt', accessTokenTTL: 300,
        jwt: { sign: { alg: resource === 'urn:qanat-rsa' ? 'RS256' : 'ES256' } },
      }),
    },
  },
  extraTokenClaims: (_, token) => (token.clientId === 'nobody' ? {} : { groups: ['everybody', `${token.clientId} group`] }),
});
provider.listen(port, '127.0.0.1', () => console.log('ready'));
