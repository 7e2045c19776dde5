# The command line and the MCP server: docker build -t proof402 . && docker run -i --rm -v ~/.proof402:/proof402 --user $(id -u) proof402
FROM node:24-slim AS build
WORKDIR /src
COPY . .
RUN npm ci && npm run build && npm pack --pack-destination /packed

FROM node:24-slim
COPY --from=build /packed /packed
RUN npm install --global --ignore-scripts --no-fund --no-audit /packed/*.tgz && rm -r /packed
ENV PROOF402_CONFIG=/proof402/proof402.config.json
# Configuration, key and database stay with their owner, outside.
VOLUME /proof402
USER node
ENTRYPOINT ["proof402"]
CMD ["mcp"]
