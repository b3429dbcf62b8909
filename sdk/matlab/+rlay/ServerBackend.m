classdef ServerBackend < rlay.Backend
%SERVERBACKEND Listens for rlay.ClientEnv, and hosts what make returns for each agent.
%   rlay.ServerBackend(@make, 'tcp://127.0.0.1:5005').run()
%   make and options are those of rlay.ClientBackend. With port 0, address has the real port from then on. Other
%   machines can dial only if there is a token. In MATLAB, whose tcpserver has one connection, maxSessions is 1.
  properties (Access = private)
    listener
    acceptAt = 0 % when to accept again, after that has failed
  end
  methods
    function self = ServerBackend(make, address, varargin)
      self = self@rlay.Backend(make, address, varargin{:});
      if exist('OCTAVE_VERSION', 'builtin') == 0 && self.options.maxSessions > 1
        error('rlay:usage', 'MATLAB listens for one session at a time; start several programs, or dial');
      end
      isLoopback = ~isempty(regexp(self.host, '^(localhost|::1|127(\.\d+){3})$', 'once'));
      if ~isLoopback && isempty(self.options.token)
        error('rlay:address', ...
          '%s: other machines can dial this address; set a token (RLAY_TOKEN, at both ends)', self.address);
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
      for i = 1:numel(self.sessions)
        mine = self.sessions{i}.ticket;
        if ~self.sessions{i}.isOver && ~isempty(mine) && numel(mine) == numel(ticket) && ~any(bitxor(mine, ticket))
          session = self.sessions{i};
        end
      end
    end
    function session = admit(self)
      %ADMIT A new session, or [] if there is no room.
      %   Makes room where a session has not begun in the time of a handshake, or has lost its agent for the longest.
      session = [];
      if self.isClosed
        return
      end
      others = self.sessions(~cellfun(@(other) other.isOver, self.sessions));
      if numel(others) >= self.options.maxSessions
        now = rlay.clock();
        isIdle = cellfun(@(other) ~other.hasBegun && now - other.since > 5, others);
        lostAt = cellfun(@(other) other.lostAt, others);
        lostAt(~cellfun(@(other) other.isLost, others)) = Inf;
        [first, longest] = min(lostAt);
        if any(isIdle)
          others{find(isIdle, 1)}.goodbye(5, 'another agent waits');
        elseif ~isinf(first)
          others{longest}.finish(rlay.failure(10, 'the agent was away when another one came'));
        else
          return
        end
      end
      session = rlay.EnvSession(self.options);
      self.sessions{end + 1} = session;
    end
    function close(self)
      self.listener.close();
      close@rlay.Backend(self);
    end
  end
  methods (Access = protected)
    function again = connect(self)
      again = self.acceptAt;
      if rlay.clock() < again
        return
      end
      again = Inf;
      fresh = {};
      most = min(self.options.maxSessions + 128, 900); % of descriptors, of which select takes those below 1024
      % Peers that say nothing are not to take every descriptor. So few at a time are read before others displace them.
      while ~self.isClosed && numel(fresh) < 32 && numel(self.links) + numel(fresh) < most
        channel = [];
        try
          channel = self.listener.accept();
        catch err
          % The dialer waits on, so the listener is not to be asked again at once.
          self.acceptAt = rlay.clock() + 0.5;
          again = self.acceptAt;
          self.log(['cannot accept a dialer: ' err.message]);
        end
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
    function listener = listening(self)
      listener = [];
      if ~self.isClosed && rlay.clock() >= self.acceptAt
        listener = self.listener;
      end
    end
    function ended(self, link)
      connection = link.connection;
      if ~connection.isOpen && ~isempty(connection.failure) && ~strcmp(connection.failure.identifier, 'rlay:lost')
        self.log(['refused a peer: ' connection.failure.message]);
      end
    end
    function tick(self)
      timeout = self.options.reconnectTimeout;
      if isempty(timeout)
        timeout = 30;
      end
      for i = 1:numel(self.sessions)
        session = self.sessions{i};
        if session.isLost && rlay.clock() - session.lostAt > timeout
          session.finish(rlay.failure(10, 'the agent did not come back'));
        end
      end
    end
  end
end
