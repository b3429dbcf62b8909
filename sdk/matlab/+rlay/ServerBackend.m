classdef ServerBackend < rlay.Backend
%SERVERBACKEND Listens for rlay.ClientEnv, one agent after another.
%   rlay.ServerBackend(@make, 'tcp://127.0.0.1:5005').run()
%   make and options are those of rlay.ClientBackend. With port 0, address has the real port from then on. Other
%   machines can dial only if there is a token.
  properties (Access = private)
    listener
  end
  methods
    function self = ServerBackend(make, address, varargin)
      self = self@rlay.Backend(make, address, varargin{:});
      isLoopback = ~isempty(regexp(self.host, '^(localhost|::1|127(\.\d+){3})$', 'once'));
      if ~isLoopback && isempty(self.options.token)
        error('rlay:address', ...
          '%s: other machines can dial this address; set a token (RLAY_TOKEN, at both ends)', address);
      end
      self.listener = rlay.Listener(self.host, self.port, isLoopback);
      shown = self.host;
      if any(shown == ':')
        shown = ['[' shown ']'];
      end
      self.address = sprintf('tcp://%s:%d', shown, self.listener.port);
    end
    function session = find(self, ticket)
      %FIND The session of this ticket, or [].
      session = [];
      if ~isempty(self.session) && ~self.session.isOver && ~isempty(self.session.ticket)
        mine = self.session.ticket;
        if numel(mine) == numel(ticket) && sum(bitxor(mine, ticket)) == 0
          session = self.session;
        end
      end
    end
    function session = admit(self)
      %ADMIT A new session, or [] if there is no room.
      %   Makes room where the session has not begun in the time of a handshake, or has lost its agent.
      session = [];
      if ~isempty(self.session)
        if ~self.session.hasBegun && rlay.clock() - self.session.since > 5
          self.session.goodbye(5, 'another agent waits');
        elseif self.session.isLost
          self.session.finish(rlay.failure(10, 'the agent was away when another one came'));
        elseif ~self.session.isOver
          return
        end
        self.sessionOver();
      end
      session = rlay.EnvSession(self.options);
      self.session = session;
    end
    function close(self)
      self.listener.close();
      close@rlay.Backend(self);
    end
  end
  methods (Access = protected)
    function connect(self)
      fresh = {};
      % Peers that say nothing are not to take every descriptor. So few at a time are read before others displace them.
      while ~self.isClosed && numel(fresh) < 32 && numel(self.links) + numel(fresh) <= 128
        channel = self.listener.accept();
        if isempty(channel)
          break
        end
        fresh{end + 1} = rlay.Link(rlay.Connection(self.options, [], self), channel); %#ok<AGROW>
      end
      if isempty(fresh)
        return
      end
      % An honest handshake takes milliseconds, so the oldest of more than 64 give up their places.
      handshakes = find(cellfun(@(link) link.connection.isShaking(), self.links));
      for i = handshakes(1:max(numel(handshakes) + numel(fresh) - 64, 0))
        self.links{i}.connection.abort(rlay.failure(10, 'another dialer needs the place'));
      end
      self.links = [self.links fresh];
    end
    function [left, isReady] = wait(self, timeout)
      isReady = true(1, numel(self.links));
      if self.isClosed
        left = timeout;
        return
      end
      channels = cellfun(@(link) link.channel, self.links, 'UniformOutput', false);
      % Does not read from a peer that does not read, else its answers would fill the memory.
      isStuck = cellfun(@(link) ~isempty(link.unsent) && ~link.connection.isFinished, self.links);
      if any(cellfun(@(link) ~link.connection.isOpen || link.connection.isFinished, self.links))
        % Their time may be over sooner.
        timeout = min(timeout, 0.2);
      end
      isReady(isStuck) = false;
      [left, isReady(~isStuck)] = self.listener.wait(channels(~isStuck), channels(isStuck), timeout);
    end
    function ended(self, connection)
      if ~connection.isOpen && ~isempty(connection.failure) && ~strcmp(connection.failure.identifier, 'rlay:lost')
        self.log(['refused a peer: ' connection.failure.message]);
      end
    end
    function tick(self)
      timeout = self.options.reconnectTimeout;
      if isempty(timeout)
        timeout = 30;
      end
      session = self.session;
      if ~isempty(session) && session.isLost && rlay.clock() - session.lostAt > timeout
        session.finish(rlay.failure(10, 'the agent did not come back'));
      end
    end
  end
end
