namespace Grid.Benchmarks;

/// <summary>What the command line can do.</summary>
internal static class Help
{
    public const string Text = """
        dotnet run -c Release --project tests/Grid.Benchmarks -- VERB [OPTIONS]

        all       Every row, against every peer that is installed, as one table.   --minutes 25: no step begins later
        curve     How cost, latency and memory grow.      --over subscribers,channels,size,silos,history (all of them if left out)
                  --points 10,100,1000: the places; --most 1000000: the usual places up to that; --pairs 1 --seconds 3
        short     Fan-out, rooms and publishes: what tests/compare.sh runs for two commits.

        fanout    One publisher, many subscribers.        --subscribers 1000 --size 128 --window 1,8,64
        rooms     Rooms in which everyone hears everyone. --rooms 500 --members 10 --size 128 --rate 3000 [--only-closed | --only-rate]
        publish   Acknowledged durable publishes.         --channels 500 --size 128 --pipeline 1,16,256 [--http]
        idle      Memory per idle session.                --sessions 15000 --per-channel 10; more than 15,000 are held by further
                  processes, and need silos that may open as many files: --sessions 60000 --silos 4
        resume    Kill -9, restart, all sessions resume.  --sessions 10000 --per-channel 10 --at-once 500
        history   Reads of the past, by HTTP and socket.  --channels 50 --messages 10000 --page 100 --readers 50
        slow      What silent consumers cost the others.  --subscribers 1000 --slow 20 --window 64
        webhooks  Deliveries beside a bare HttpClient loop, publish to arrival.   --concurrency 1,16,64,256 --messages 20000 --rate 500
                  --size 128 [--mode ordered] [--unsigned]: the bare loop signs nothing. --hosts A=F,B=G
        webhooks-fair     What bad endpoints cost the others.      --endpoints 1000 --bad 20 --rate 1000: per cent, all together a second
        webhooks-dead     What dead ones with a backlog cost.      --subscriptions 1,100000 [--probes]: one an hour for each
        webhooks-due      The sweep's look for due ones, in both stores.          --subscriptions 100000
        webhooks-publish  A publish whose tenant has many.         --subscriptions 10000
        failover  A cluster loses a silo under load.      --silos 3 --channels 300 --rate 1500 --probe 00:00:00.500,00:00:01
                  [--stop 8]: the silo is stopped for 8 s instead of killed; --calm 60 --burn 4: first, 60 s in which four busy
                  threads take the processors away, and silos declared dead are counted; [--no-kill]: only that.
        lanes     Appends to PostgreSQL without silos.    --lanes 1,2,4,8 --channels 500 --batch 1 --logs 1: logs play silos
        day       A day of retention in minutes.          --hours 24 --channels 500 --appends 1 --batch 4: appends each minute
        micro     BenchmarkDotNet: codec, log, fan-out below the socket. Further arguments are BenchmarkDotNet's (--filter *Log*).

        For all loads:
          --pairs 2            runs of each side, in turns
          --seconds 5          time measured in each run; --warmup 2 before it (and 15 more before a .NET server's first)
          --peer nats,nchan    the same load on other servers in the same run. fanout, rooms, idle, curves over subscribers and size:
                               nats, jetstream, signalr, signalr-redis, nchan; publish, history: jetstream
          --silos 1,2,4        clusters of these sizes, with a PostgreSQL and a Redis each, in turns (fanout, rooms, publish, idle, history,
                               curve over channels); connections go round the silos; [--embedded]: the embedded server too. resume:
                               --silos 3, the last is killed and its sessions go to the others; [--all-on-one]: all sessions were on it
          --url U --key K      a server that runs already, instead of one started for the run (its CPU and memory are then unknown)
          --hosts A=F,B=G      several builds of Grid.Host.dll in turns, instead of this one (see tests/compare.sh)
          --env A=1,B=2        settings and runtime switches of the server started for the run
          --perf FILE          perf samples the server while it is measured; read it with perf report -i FILE
          --chart FILE         the figures as a picture in SVG
          --json FILE          the figures for programs
          --threshold 1.1      exit code 3 when a side's server CPU for the same work is more than so many times the other's: the last of
                               --hosts, else grid

        The server is Grid.Host of the same build, on a free port of the loopback with a temporary store. The generator is one thread;
        a line says so when it cost more CPU than the server, since it is then the generator that was measured.
        """;
}
